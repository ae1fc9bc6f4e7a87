"""Network namespaces, the links between them, and their end.

A Lab owns everything that it makes: namespaces, processes in them, a folder for files and logs. close() removes all of
it, also what a process in a namespace started on its own; it runs at the end of `with`, and at exit when that was
not reached. Namespaces carry the process id of their maker, so that the next Lab removes what a killed one left.
"""

import atexit
import ipaddress
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from lab.process import Failure, Process

PREFIX = "sluice-lab"
NAMESPACES = pathlib.Path("/run/netns")
_counter = itertools.count(1)


def run(command, stdin="", check=True, timeout=60):
    """Runs a command to its end; Failure with its output when it fails."""
    ran = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True, timeout=timeout)
    if check and ran.returncode != 0:
        words = " ".join(str(part) for part in command)
        raise Failure(f"{words}: exit code {ran.returncode}\n{stdin}{ran.stdout}{ran.stderr}")
    return ran


class Lab:
    """Everything of one test or of one quickstart. Used by one thread."""

    def __init__(self, name="lab"):
        remove_stale()
        number = f"{os.getpid()}-{next(_counter)}"
        self.prefix = f"{PREFIX}-{number}"
        title = re.sub("[^a-z0-9]+", "-", name.lower())[:40]
        self.folder = pathlib.Path(tempfile.gettempdir()) / f"{PREFIX}-{title}-{number}"
        self.nodes = []
        self.processes = []
        self._closers = []
        # Before anything is made: an interrupt may come at any moment.
        atexit.register(self.close)
        self.folder.mkdir(mode=0o700)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def node(self, name, **settings):
        """A new host; `settings` are sysctls of its namespace with dots as double underscores."""
        node = Node(self, name, settings)
        self.nodes.append(node)
        return node

    def switch(self, name):
        """A new Ethernet switch: a namespace with one bridge."""
        switch = Switch(self, name, {})
        self.nodes.append(switch)
        return switch

    def at_close(self, action):
        """Runs `action` when everything in the namespaces has ended, before they go."""
        self._closers.append(action)

    def log(self, name):
        return self.folder / f"{name}.log"

    def logs(self):
        """{name: text} of everything that wrote a log."""
        return {path.stem: path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log"))}

    def close(self):
        """Removes all that the lab made. May be called twice, and after any failure."""
        atexit.unregister(self.close)
        # By their names: an interrupt may have come before a node that was made stood in the list.
        namespaces = list(NAMESPACES.glob(f"{self.prefix}-*"))
        kill_inside(namespaces)
        for process in self.processes:
            process.kill()
        while self._closers:
            self._closers.pop()()
        for path in namespaces:
            run(["ip", "netns", "delete", path.name], check=False)
        self.nodes, self.processes = [], []
        shutil.rmtree(self.folder, ignore_errors=True)


class Node:
    """One host: a network namespace, reached by the commands that run in it."""

    def __init__(self, lab, name, settings):
        self.lab = lab
        self.name = name
        self.namespace = f"{lab.prefix}-{name}"
        self.path = NAMESPACES / self.namespace
        run(["ip", "netns", "add", self.namespace])
        # No duplicate address detection: addresses work at once. No reverse path filter: answers of a balanced
        # flow take another way than its packets.
        self.sysctl(**{"net__ipv6__conf__all__accept_dad": 0, "net__ipv6__conf__default__accept_dad": 0,
                       "net__ipv6__conf__default__accept_ra": 0, "net__ipv4__conf__all__rp_filter": 0,
                       "net__ipv4__conf__default__rp_filter": 0, "net__ipv4__ping_group_range": "0 0", **settings})
        self.ip("link set dev lo up")

    def command(self, command):
        """The command, to be run in the namespace. `ip netns exec` would hide /sys/fs/bpf."""
        return ["nsenter", f"--net={self.path}", *[str(part) for part in command]]

    def run(self, *command, stdin="", check=True, timeout=60):
        """Runs to its end in the namespace; Failure when it fails."""
        return run(self.command(command), stdin, check, timeout)

    def start(self, name, *command, **options):
        """Starts a process in the namespace; its log is NODE-NAME.log."""
        process = Process(self.command(command), self.lab.log(f"{self.name}-{name}"), **options)
        self.lab.processes.append(process)
        return process

    def ip(self, *lines):
        """Runs lines of `ip` in the namespace."""
        run(["ip", "-n", self.namespace, "-batch", "-"], stdin="\n".join(lines) + "\n")

    def sysctl(self, **values):
        self.run("sysctl", "-qw", *[f"{key.replace('__', '/')}={value}" for key, value in values.items()])

    def add_address(self, address, interface="eth0"):
        """An address with its prefix length."""
        nodad = " nodad" if ipaddress.ip_interface(address).version == 6 else ""
        self.ip(f"address add {address} dev {interface}{nodad}")

    def add_route(self, to, gateway, interface="eth0"):
        family = "-6" if ":" in gateway else "-4"
        run(["ip", family, "-n", self.namespace, "route", "replace", to, "via", gateway, "dev", interface])

    def mac(self, interface="eth0"):
        shown = run(["ip", "-n", self.namespace, "link", "show", "dev", interface]).stdout
        return re.search(r"link/ether (\S+)", shown).group(1)

    def connect(self, other, interface="eth0", port=None, queues=1, mtu=1500):
        """A cable between this host's `interface` and `port` of the other side, which is returned."""
        port = port or self.name
        many = f"numrxqueues {queues} numtxqueues {queues}"
        run(["ip", "-batch", "-"], stdin=(
            f"link add {interface} netns {self.namespace} {many} mtu {mtu} type veth "
            f"peer name {port} netns {other.namespace} {many} mtu {mtu}\n"))
        for node, name in ((self, interface), (other, port)):
            # A veth hands over unfinished checksums, that a rewrite outside of the kernel would make wrong.
            node.run("ethtool", "-K", name, "tx", "off")
            node.plugged(name)
        return other

    def plugged(self, interface):
        """A new interface of this host: up."""
        self.ip(f"link set dev {interface} up")


class Switch(Node):
    """A namespace whose interfaces are ports of one bridge."""

    def __init__(self, lab, name, settings):
        super().__init__(lab, name, {**settings, "net__ipv6__conf__default__disable_ipv6": 1})
        self.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set dev br0 up mtu 1500")

    def plugged(self, interface):
        self.ip(f"link set dev {interface} master br0 up")


def pids_inside(namespaces):
    """Processes whose network is one of these namespaces (paths)."""
    inodes = {path.stat().st_ino for path in namespaces if path.exists()}
    pids = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}/ns/net").st_ino in inodes:
                    pids.append(int(entry))
            except OSError:
                continue  # it ended meanwhile
    return pids


def kill_inside(namespaces, timeout=10.0):
    """Kills every process in these namespaces and waits until none is left."""
    deadline = time.monotonic() + timeout
    while namespaces and (pids := [pid for pid in pids_inside(namespaces) if pid != os.getpid()]):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if all(_is_zombie(pid) for pid in pids) or time.monotonic() > deadline:
            return
        time.sleep(0.01)


def _is_zombie(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def remove_stale():
    """Removes the namespaces of labs whose process is gone without a clean-up (a SIGKILL)."""
    if not NAMESPACES.is_dir():
        return
    for path in NAMESPACES.iterdir():
        match = re.match(rf"{PREFIX}-(\d+)-", path.name)
        if match and not pathlib.Path(f"/proc/{match.group(1)}").exists():
            kill_inside([path])
            run(["ip", "netns", "delete", path.name], check=False)
