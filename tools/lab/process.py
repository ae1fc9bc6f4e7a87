"""Child processes: output in a file, waited for with a deadline, ended for certain."""

import os
import signal
import subprocess
import time


class Failure(Exception):
    """Something in the lab did not go as it must; the words say what, with the end of the log in question."""


def wait_until(condition, what, timeout=10.0, interval=0.02):
    """Returns what `condition()` returns as soon as it is true; raises Failure after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {timeout:g} s in vain: {what() if callable(what) else what}")
        time.sleep(interval)


def best_of_three(measure, good):
    """What `measure()` returns as soon as `good(it)`, or the third time whatever it is: other work on this machine can
    stop every program of the lab for a while, and times are then its own."""
    for _ in range(2):
        measured = measure()
        if good(measured):
            return measured
        print(f"once more: {measured}")
    return measure()


class Process:
    """One child in a session of its own, so that Ctrl-C reaches this program alone and it can clean up in order."""

    def __init__(self, command, log, environment=None, stdin=subprocess.DEVNULL, stdout=None):
        self.name = log.stem
        self.log = log
        with open(log, "ab") as file:
            self._start_of_log = file.tell()
            self._popen = subprocess.Popen(
                [str(part) for part in command], stdin=stdin, stdout=stdout or file, stderr=file, text=True,
                env={**os.environ, **(environment or {})}, start_new_session=True)
        self.stdin, self.stdout, self.pid = self._popen.stdin, self._popen.stdout, self._popen.pid

    def output(self):
        """What this child wrote so far."""
        with open(self.log, "rb") as file:
            file.seek(self._start_of_log)
            return file.read().decode(errors="replace")

    def tail(self, lines=30):
        return "\n".join(self.output().splitlines()[-lines:])

    def exit_code(self):
        """None while it runs."""
        return self._popen.poll()

    def wait(self, timeout=10.0):
        """Its exit code; Failure when it runs longer."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} still runs after {timeout:g} s:\n{self.tail()}") from None

    def wait_for_output(self, text, timeout=10.0):
        """Waits until it has written `text`; Failure when it ends before, or does not in time."""
        def seen():
            if text in self.output():
                return True
            if self.exit_code() is not None:
                raise Failure(f"{self.name} ended with {self.exit_code()} before it wrote {text!r}:\n{self.tail()}")
            return False
        wait_until(seen, lambda: f"{self.name} to write {text!r}:\n{self.tail()}", timeout)

    def signal(self, number):
        if self.exit_code() is None:
            self._popen.send_signal(number)

    def kill(self):
        """Ends the child and all of its session at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()
