#!/usr/bin/python3
"""The decap loader on a real interface: attaches, unwraps for the kernel, reports, detaches however it ends.

    balancer namespace                        backend namespace
    192.0.2.99, 2001:db8::99  -- veth --  192.0.2.1, 2001:db8::1 (decap); lo: 203.0.113.10, 2001:db8:10::10

usage: decap_loader_test.py PATH_TO_DECAP; exits 77 (skipped) without root.
"""

import contextlib
import ctypes
import ipaddress
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

DECAP = ""
DEADLINE = 10.0
NAME = f"decapldr{os.getpid()}"
BALANCER, BACKEND = f"{NAME}a", f"{NAME}b"
TUNNELS = {4: "192.0.2.1", 6: "2001:db8::1"}
SOURCES = {4: "192.0.2.99", 6: "2001:db8::99"}
VIRTUAL = {4: "203.0.113.10", 6: "2001:db8:10::10"}
CLIENTS = {4: "198.51.100.7", 6: "2001:db8:7::7"}
PORT = 9999
GUE_PORT = 6080
CLONE_NEWNET = 0x40000000


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def in_backend(*command):
    return ("ip", "netns", "exec", BACKEND) + command


@contextlib.contextmanager
def namespace(name):
    """Sockets made inside stay in that namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", encoding="ascii") as old, open(f"/run/netns/{name}", encoding="ascii") as new:
        if libc.setns(new.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(old.fileno(), CLONE_NEWNET)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(family, source, destination, protocol, payload):
    source, destination = (ipaddress.ip_address(text).packed for text in (source, destination))
    if family == 6:
        return struct.pack("!IHBB", 0x60000000, len(payload), protocol, 64) + source + destination + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + source + destination
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(family, source, destination, port, payload):
    header = struct.pack("!HHHH", 1234, port, 8 + len(payload), 0)
    pseudo = b"".join(ipaddress.ip_address(text).packed for text in (source, destination))
    pseudo += struct.pack("!IHH", 8 + len(payload), 0, socket.IPPROTO_UDP)
    return header[:6] + struct.pack("!H", checksum(pseudo + header + payload)) + payload


def wrapped(outer, inner, gue, payload):
    packet = udp(inner, CLIENTS[inner], VIRTUAL[inner], PORT, payload)
    packet = ip(inner, CLIENTS[inner], VIRTUAL[inner], socket.IPPROTO_UDP, packet)
    protocol = {4: socket.IPPROTO_IPIP, 6: socket.IPPROTO_IPV6}[inner]
    if gue:
        packet = udp(outer, SOURCES[outer], TUNNELS[outer], GUE_PORT, struct.pack("!BBH", 0, protocol, 0) + packet)
        protocol = socket.IPPROTO_UDP
    return ip(outer, SOURCES[outer], TUNNELS[outer], protocol, packet)


class Loader:
    """A running decap; the constructor returns when it is ready."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            in_backend(DECAP, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        readable, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
        self.ready = self.process.stdout.readline().strip() if readable else ""

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, err


def wait_until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def runs_xdp():
    return "prog/xdp" in run(*in_backend("ip", "link", "show", "dev", "eth0"))


class DecapLoaderTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(cls.remove)
        for name in (BALANCER, BACKEND):
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "eth0", "netns", BALANCER, "type", "veth", "peer", "name", "eth0", "netns", BACKEND)
        for name, address in ((BALANCER, SOURCES), (BACKEND, TUNNELS)):
            run("ip", "-n", name, "address", "add", f"{address[4]}/24", "dev", "eth0")
            run("ip", "-n", name, "address", "add", f"{address[6]}/64", "dev", "eth0", "nodad")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", BACKEND, "link", "set", "lo", "up")
        for family, length in ((4, 32), (6, 128)):
            run("ip", "-n", BACKEND, "address", "add", f"{VIRTUAL[family]}/{length}", "dev", "lo")
            run("ip", "-n", BACKEND, "route", "add", "default", "via", SOURCES[family])
        cls.mac = run("ip", "-n", BACKEND, "-br", "link", "show", "eth0").split()[2]

    @classmethod
    def remove(cls):
        for name in (BALANCER, BACKEND):
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)

    def start(self, *arguments):
        loader = Loader(*arguments)
        self.addCleanup(loader.stop)
        return loader

    def fails(self, *arguments):
        done = subprocess.run(in_backend(DECAP, *arguments), capture_output=True, text=True, timeout=DEADLINE)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def deliver(self, outer, inner, gue):
        """True when the kernel of the backend hands the inner payload to a socket on the virtual address."""
        payload = f"{outer} {inner} {gue}".encode()
        family = {4: socket.AF_INET, 6: socket.AF_INET6}[inner]
        with namespace(BACKEND):
            server = socket.socket(family, socket.SOCK_DGRAM)
        with namespace(BALANCER):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with server, wire:
            server.bind((VIRTUAL[inner], PORT))
            server.settimeout(0.2)
            wire.bind(("eth0", 0))
            ethertype = {4: 0x0800, 6: 0x86DD}[outer]
            frame = bytes.fromhex(self.mac.replace(":", "")) + b"\x02\0\0\0\0\x01" + struct.pack("!H", ethertype)
            frame += wrapped(outer, inner, gue, payload)
            end = time.monotonic() + DEADLINE
            while time.monotonic() < end:
                wire.send(frame)
                with contextlib.suppress(TimeoutError):
                    data, sender = server.recvfrom(2048)
                    return data == payload and sender[0] == CLIENTS[inner]
        return False

    def test_unwraps_for_the_kernel_and_counts(self):
        loader = self.start("--interface=eth0")
        self.assertEqual(loader.ready, "decap: ready interface=eth0 mode=native")
        for outer in (4, 6):
            for inner in (4, 6):
                for gue in (False, True):
                    with self.subTest(outer=outer, inner=inner, gue=gue):
                        self.assertTrue(self.deliver(outer, inner, gue))
        stats = run(*in_backend(DECAP, "--interface=eth0", "--stats"))
        counters = dict(word.split("=") for word in stats.removeprefix("decap: ").split())
        self.assertGreaterEqual(int(counters["decapsulated"]), 8)
        self.assertEqual(int(counters["malformed"]), 0)
        code, out, _ = loader.stop()
        self.assertEqual(code, 0)
        self.assertIn("decapsulated=", out)
        self.assertFalse(runs_xdp())

    def test_only_the_given_addresses(self):
        self.start("--interface=eth0", f"--address={TUNNELS[6]}", "--address=192.0.2.55,192.0.2.56")
        self.assertTrue(self.deliver(6, 4, False))
        with namespace(BALANCER):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with wire:
            wire.bind(("eth0", 0))
            frame = bytes.fromhex(self.mac.replace(":", "")) + b"\x02\0\0\0\0\x01\x08\0" + wrapped(4, 4, False, b"x")
            wire.send(frame)
        self.assertTrue(wait_until(
            lambda: "other_address=1" in run(*in_backend(DECAP, "--interface=eth0", "--stats"))))

    def test_interrupt_ends_it_orderly(self):
        loader = self.start("--interface=eth0")
        self.assertTrue(runs_xdp())
        self.assertEqual(loader.stop(signal.SIGINT)[0], 0)
        self.assertFalse(runs_xdp())

    def test_a_kill_leaves_nothing_behind(self):
        loader = self.start("--interface=eth0")
        self.assertTrue(runs_xdp())
        loader.stop(signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not runs_xdp()))
        self.assertTrue(self.start("--interface=eth0").ready)

    def test_another_program_on_the_interface_stays(self):
        first = self.start("--interface=eth0")
        self.assertIn("eth0 already runs the XDP program 'decap'", self.fails("--interface=eth0"))
        self.assertIsNone(first.process.poll())
        self.assertTrue(runs_xdp())

    def test_generic_mode_where_native_is_not_there(self):
        loader = self.start("--interface=lo", "--address=192.0.2.1")
        self.assertEqual(loader.ready, "decap: ready interface=lo mode=generic")
        self.assertIn("no native XDP on lo", loader.stop()[2])

    def test_errors_say_what_to_do(self):
        self.assertIn("no interface 'nosuch'", self.fails("--interface=nosuch"))
        self.assertIn("--address", self.fails("--interface=eth0", "--address=1.2.3"))
        self.assertIn("1 to 65535", self.fails("--interface=eth0", "--gue_port=0"))
        self.assertIn("usage:", self.fails())
        self.assertIn("usage:", self.fails("eth0"))
        self.assertIn("no decap runs on eth0", self.fails("--interface=eth0", "--stats"))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIPPED: network namespaces and XDP need root")
        sys.exit(77)
    DECAP = os.path.abspath(sys.argv.pop(1))
    unittest.main()
