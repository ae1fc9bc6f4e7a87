"""What a client node does: many requests, open connections, transfers. Each takes the node that it runs on."""

import json
import subprocess
import time

from lab.process import Failure, wait_until
from lab.servers import ECHO_PORT, HERE, MANY_PORT, PYTHON


def url(address, port=80, path=""):
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}/{path}"


def http_requests(node, address, requests, port=80, concurrency=32, timeout=10):
    """That many requests, each on a connection of its own; a dictionary as http_load.py prints."""
    ran = node.run(PYTHON, "-B", HERE / "http_load.py", address, port, f"--requests={requests}",
                   f"--concurrency={concurrency}", f"--timeout={timeout}", timeout=600)
    return json.loads(ran.stdout)


class HttpLoad:
    """Requests without a pause, until stop()."""

    def __init__(self, node, address, port=80, concurrency=8, timeout=10):
        self._process = node.start(
            "http-load", PYTHON, "-B", HERE / "http_load.py", address, port, "--until_stopped",
            f"--concurrency={concurrency}", f"--timeout={timeout}", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self):
        """Ends it; a dictionary as http_load.py prints."""
        self._process.stdin.close()
        line = self._process.stdout.readline()
        self._process.wait()
        if not line:
            raise Failure(f"http_load.py ended early:\n{self._process.tail()}")
        return json.loads(line)


class HttpWatch:
    """A request every 10 ms, and what became of each; times are time.monotonic()'s."""

    def __init__(self, node, address, port=80, timeout=0.5):
        self._timeout = timeout
        self._process = node.start("http-watch", PYTHON, "-B", HERE / "http_watch.py", address, port,
                                   f"--timeout={timeout}", stdin=subprocess.PIPE, stdout=None)

    def requests(self, since=0.0):
        """[(begin, end, words)] of those that began at `since` or later and have ended."""
        ended = []
        # The last line may not be whole yet.
        for line in self._process.output().split("\n")[:-1]:
            begin, end, words = line.split(" ", 2)
            if float(begin) >= since:
                ended.append((float(begin), float(end), words))
        return ended

    def left_after(self, since, others, timeout=15.0, quiet=None):
        """Seconds from `since` until requests went to `others` alone, none failing; waits until they do, and have for
        `quiet` seconds: for longer than a request may take to fail, where some do."""
        def astray():
            return [begin for begin, _, words in self.requests(since) if words not in others]

        def left():
            return time.monotonic() - max([since, *astray()]) > (quiet or self._timeout + 0.7)
        wait_until(left, lambda: f"requests to go to {', '.join(others)} alone", timeout)
        return max([since, *astray()]) - since

    def back_after(self, since, name, timeout=15.0):
        """Seconds from `since` until that server answers a request; waits until it does."""
        def answered():
            return [begin for begin, _, words in self.requests(since) if words == name]
        return wait_until(answered, f"{name} to answer again", timeout)[0] - since

    def stop(self):
        self._process.stdin.close()
        self._process.wait()


class HeldConnections:
    """Many open HTTP connections; one that gives no answer for `timeout` seconds is broken."""

    def __init__(self, node, address, count, port=80, timeout=10):
        self._process = node.start("http-hold", PYTHON, "-B", HERE / "http_hold.py", address, port, count, timeout,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.first = self._read()

    def ask(self):
        """Asks each connection who serves it; a dictionary as http_hold.py prints."""
        self._process.stdin.write("ask\n")
        self._process.stdin.flush()
        return self._read()

    def close(self):
        """Closes all of them."""
        self._process.stdin.close()
        self._process.wait()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"http_hold.py ended early:\n{self._process.tail()}")
        return json.loads(line)


class ManyConnections:
    """Thousands of connections that each have echoed; see tcp_many.py for the answers. A process has some 20,000."""

    def __init__(self, node, address, count, port=MANY_PORT, timeout=10, name="tcp-many"):
        command = (PYTHON, "-B", HERE / "tcp_many.py", "hold", address, port, count, timeout)
        self._process = node.start(name, *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.first = self._read()

    def command(self, words):
        """"open N", "close N" or "ask"; the answer."""
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"tcp_many.py ended early:\n{self._process.tail()}")
        return json.loads(line)


class UdpStream:
    """Numbered datagrams at a steady rate, counted by windows; see udp_stream.py for the answers."""

    def __init__(self, node, address, rate, port=ECHO_PORT, flows=64):
        self._process = node.start("udp-stream", PYTHON, "-B", HERE / "udp_stream.py", address, port, rate, flows,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def window(self):
        """What became of all that was sent since the last call."""
        self._process.stdin.write("end\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"udp_stream.py ended early:\n{self._process.tail()}")
        return json.loads(line)


def download(node, address, name):
    """SHA-256 of /files/NAME as it arrives."""
    script = f"curl -sSfg --max-time 120 '{url(address, 80, 'files/' + name)}' | sha256sum"
    return node.run("bash", "-o", "pipefail", "-c", script, timeout=130).stdout.split()[0]


def upload(node, address, path, port=8081):
    """(server, SHA-256) of a file as the server received it."""
    ran = node.run("curl", "-sSfg", "--max-time", "120", "-T", path, url(address, port, "upload"), timeout=130)
    name, digest = ran.stdout.split()
    return name, digest


def iperf(node, address, *options, seconds=2):
    """iperf3's own report. Its server closes its socket between two tests and resets who has come in that moment, or
    has not yet seen that the test before is over: a test that has not begun begins once more."""
    def run():
        ran = node.run("iperf3", "-J", "-c", address, "-t", seconds, *options, check=False, timeout=60)
        report = json.loads(ran.stdout)
        error = report.get("error")
        if error is None:
            return report
        if report["intervals"] or not any(words in error for words in ("reset by peer", "server is busy")):
            raise Failure(f"iperf3 {' '.join(options)}: {error}")
        return None

    return wait_until(run, "iperf3's server to begin a test", interval=0.2)["end"]


_ECHO = """
import socket, sys
address, (port, size, count, attempts) = sys.argv[1], map(int, sys.argv[2:])
names = set()
# What waits for a worker that gets no CPU for a while is lost, and sent once more.
spare = 2
for number in range(count):
    endpoint = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.settimeout(5 if attempts == 1 else 1)
    if size > 1400 and ":" not in address:
        endpoint.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT: fragment freely
    endpoint.connect((address, port))
    datagram = bytes([number % 256]) * size
    tries = 0
    while True:
        tries += 1
        try:
            endpoint.send(datagram)
            name, _, back = endpoint.recv(65535).partition(b":")
            break
        except OSError:
            spare -= tries >= attempts
            if spare < 0:
                raise
    assert back == datagram, "other bytes came back"
    names.add(name.decode())
print(" ".join(sorted(names)))
"""


def udp_echo(node, address, size, count=1, port=8082, attempts=1):
    """Sends datagrams of that size, each from a socket of its own, compares what comes back; the servers' names. Each
    is sent up to `attempts` times; two times more in all."""
    return node.run(PYTHON, "-B", "-c", _ECHO, address, port, size, count, attempts, timeout=120).stdout.split()
