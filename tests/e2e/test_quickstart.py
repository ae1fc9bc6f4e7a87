"""tools/quickstart as a user runs it: it passes, and leaves nothing behind, also when it is interrupted."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from lab.network import NAMESPACES, PREFIX
from lab.process import best_of_three, wait_until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Other tests run beside these: of what has the name of a lab, only the run's own counts.
NAMED_BY_A_LAB = re.compile(f"/{PREFIX}-")


class Quickstart:
    """One run, its output read as it comes."""

    def __init__(self, *options):
        self.process = subprocess.Popen([ROOT / "tools/quickstart", *options], stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.lines = []

    def read_until(self, text, timeout=120):
        deadline = time.monotonic() + timeout
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return
            assert time.monotonic() < deadline, self.output()
        raise AssertionError(f"no {text!r} in\n{self.output()}")

    def finish(self):
        """(exit code, last line)"""
        self.lines += [line.rstrip() for line in self.process.stdout]
        return self.process.wait(60), self.lines[-1]

    def output(self):
        return "\n".join(self.lines)


def traces(pid):
    """What a run (the process of that id becomes it) left on this machine."""
    namespaces = [path.name for path in NAMESPACES.glob(f"{PREFIX}-{pid}-*")]
    folders = [str(path) for path in pathlib.Path("/tmp").glob(f"{PREFIX}-quickstart-{pid}-*")]
    processes = [entry for entry in os.listdir("/proc") if entry.isdigit() and _belongs(entry, pid)]
    return namespaces + folders + processes + [line for line in _shared() if line not in _before
                                               and not NAMED_BY_A_LAB.search(line)]


def _belongs(entry, pid):
    try:
        words = pathlib.Path(f"/proc/{entry}/cmdline").read_text()
    except OSError:
        return False
    return f"{PREFIX}-quickstart-{pid}-" in words


def _shared():
    """Pinned BPF objects, mounts, and what DPDK keeps between its processes."""
    pinned = [str(path) for path in pathlib.Path("/sys/fs/bpf").rglob("*")]
    kept = [str(path) for folder in ("/var/run/dpdk", "/dev/hugepages", "/run/sluice")
            for path in pathlib.Path(folder).rglob("*")]
    mounted = pathlib.Path("/proc/mounts").read_text().splitlines()
    return pinned + kept + [line for line in mounted if PREFIX in line or " bpf " in line]


_before = []


@pytest.fixture(autouse=True)
def remember():
    """What was there before the test is not the test's."""
    _before[:] = _shared()


@pytest.mark.alone
@pytest.mark.parametrize("engine,forwarding,family,more", [
    ("dpdk", "dsr_l2", 4, []), ("dpdk", "gue", 6, []), ("dpdk", "nat", 4, []),
    ("dpdk", "full_nat", 6, ["--backend_family=4"]), ("xdp", "dsr_l2", 6, []), ("xdp", "gue", 4, [])])
def test_it_passes_and_leaves_nothing(engine, forwarding, family, more):
    def failover():
        run = Quickstart(f"--engine={engine}", f"--forwarding={forwarding}", f"--family={family}", "--requests=900",
                         *more)
        code, last = run.finish()
        assert code == 0, run.output()
        match = re.fullmatch(rf"quickstart: PASS engine={engine} forwarding={forwarding} family={family} requests=900 "
                             r"failed=0 spread=(\d+)/(\d+)/(\d+) failover_ms=(\d+)", last)
        assert match and sum(int(share) for share in match.groups()[:3]) == 900, last
        assert traces(run.process.pid) == []
        return int(match.group(4))
    # As its file says: the last good check may have been an interval ago, then two fast ones; refused at once.
    limit = 1_000 + 2 * 250 + 500 + 100
    assert 0 < best_of_three(failover, lambda milliseconds: milliseconds < limit) < limit


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
@pytest.mark.parametrize("moment", (
    "== Network", "sluiced serves.", "== The file without web2", "== The nginx of web2"))
def test_an_interrupted_run_leaves_nothing(moment, number):
    run = Quickstart("--requests=3000")
    run.read_until(moment)
    # As a terminal does it: to the whole group.
    os.killpg(run.process.pid, number)
    code, last = run.finish()
    assert code == 1 and last.startswith("quickstart: FAIL "), run.output()
    wait_until(lambda: traces(run.process.pid) == [], lambda: f"this is left: {traces(run.process.pid)}", timeout=20)
