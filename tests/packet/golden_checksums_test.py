#!/usr/bin/python3
"""Every checksum in what the sim engine sends for the golden cases, computed by Scapy.

IPv4 headers, TCP, UDP, ICMP and ICMPv6, also inside tunnels, and in what ICMP errors quote where it is whole. One that
is wrong is only accepted where the packet has come with one that is wrong by the same: those stay as wrong.

usage: golden_checksums_test.py PATH_TO_GOLDEN_SIM_TEST FOLDER_OF_CASE_FILES
"""

import collections
import pathlib
import subprocess
import sys
import tempfile
import unittest

from scapy.layers.inet import IP, in4_chksum
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.utils import checksum

SIM = CASES = ""
# Of the cases in tunnels.yaml.
GUE_PORTS = {6080, 6666}
EXTENSIONS = {0, 43, 44, 51, 60, 135, 139, 140}
ICMP_ERRORS = {4: {3, 11, 12}, 6: {1, 2, 3, 4}}

# `name`: what has the checksum; `wrong`: by how much, 0 for right; `at`: where it stands in the frame.
Found = collections.namedtuple("Found", "name wrong at")


def checksums(frame):
    """All that can be checked in a frame."""
    layer, at = Ether(frame), 14
    while isinstance(layer.payload, (Dot1Q, Dot1AD)):
        layer, at = layer.payload, at + 4
    return list(in_ip(frame, at)) if layer.type in (0x0800, 0x86DD) else []


def in_ip(frame, at):
    if frame[at] >> 4 == 6:
        yield from in_ipv6(frame, at)
        return
    header = IP(frame[at:])
    begin = at + 4 * header.ihl
    yield Found("ipv4", checksum(frame[at:begin]), at + 10)
    if not header.flags.MF and header.frag == 0:
        pseudo = IP(src=header.src, dst=header.dst)
        yield from in_transport(frame, 4, header.proto, begin, at + header.len,
                                lambda data: in4_chksum(header.proto, pseudo, data))


def in_ipv6(frame, at):
    header = IPv6(frame[at:])
    end, begin, protocol = at + 40 + header.plen, at + 40, header.nh
    while protocol in EXTENSIONS and begin + 8 <= len(frame):
        if protocol == 44 and int.from_bytes(frame[begin + 2:begin + 4], "big") & 0xFFF9:
            return
        size = {44: 8, 51: 8 + 4 * frame[begin + 1]}.get(protocol, 8 + 8 * frame[begin + 1])
        protocol, begin = frame[begin], begin + size
    pseudo = IPv6(src=header.src, dst=header.dst)
    yield from in_transport(frame, 6, protocol, begin, end, lambda data: in6_chksum(protocol, pseudo, data))


def in_transport(frame, version, protocol, begin, end, with_pseudo):
    """`with_pseudo`: Scapy's sum over bytes and their pseudo header, 0 when their checksum is right."""
    data = frame[begin:end]
    # A quote may be cut short.
    if end > len(frame):
        return
    if protocol in (4, 41):
        yield from in_ip(frame, begin)
    elif protocol == 6:
        yield Found("tcp", with_pseudo(data), begin + 16)
    elif protocol == 17:
        gue = int.from_bytes(data[2:4], "big") in GUE_PORTS
        # None: IPv4 may (RFC 768), IPv6 only around a tunnel (RFC 6935).
        if data[6:8] != b"\0\0" or (version == 6 and not gue):
            yield Found("udp", with_pseudo(data), begin + 6)
        if gue:
            yield from in_ip(frame, begin + 12)
    elif protocol == (58 if version == 6 else 1):
        yield Found("icmp", with_pseudo(data) if version == 6 else checksum(data), begin + 2)
        if data[0] in ICMP_ERRORS[version]:
            yield from in_ip(frame, begin + 8)


def frames():
    """(place, frame in, frame out) of all packets that leave."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "frames"
        subprocess.run((SIM, CASES, file), check=True, capture_output=True)
        for line in file.read_text(encoding="utf-8").splitlines():
            place, _, before, after = line.split("\t")
            if after:
                yield place, bytes.fromhex(before), bytes.fromhex(after)


def off_by_one(frame, at):
    changed = (int.from_bytes(frame[at:at + 2], "big") + 1) & 0xFFFF
    return frame[:at] + changed.to_bytes(2, "big") + frame[at + 2:]


class GoldenChecksumsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.frames = list(frames())

    def test_what_leaves_is_right(self):
        counts = collections.Counter()
        for place, before, after in self.frames:
            came = {found.name: found.wrong for found in checksums(before) if found.wrong}
            for found in checksums(after):
                with self.subTest(place=place, checksum=found.name, at=found.at):
                    self.assertIn(found.wrong, (0, came.get(found.name, 0)))
                counts[found.name] += 1
        for name in ("ipv4", "tcp", "udp", "icmp"):
            self.assertGreater(counts[name], 10, f"few {name} checksums were looked at")

    def test_off_by_one_is_seen(self):
        """Otherwise the test above says nothing."""
        for place, _, after in self.frames:
            for found in checksums(after):
                with self.subTest(place=place, checksum=found.name, at=found.at):
                    wrong = [again.wrong for again in checksums(off_by_one(after, found.at)) if again.at == found.at]
                    self.assertNotEqual(wrong, [found.wrong])


if __name__ == "__main__":
    CASES = sys.argv.pop(2)
    SIM = sys.argv.pop(1)
    unittest.main()
