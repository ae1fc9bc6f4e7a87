"""udp_stream.py ADDRESS PORT RATE FLOWS: RATE numbered datagrams a second, over FLOWS sockets in turn, to servers that
send each back with their name in front (echo_server.py).

Each line on standard input ends a window: as soon as all that was sent in it is answered, or two seconds later, a line
of JSON says what became of it. Sending goes on meanwhile, so that nothing is missed between two windows.
  sent, lost, duplicated   datagrams
  reordered                answers that came after a later one of their flow
  moved                    flows whose server has changed
  refused                  errors that the sockets were told (ICMP)
  outage_ms                the longest time that nothing was answered of, by when it was sent
  gap_ms                   the longest time between two answers, also for want of a CPU here
"""

import json
import selectors
import socket
import struct
import sys
import time

PATIENCE = 2.0
# A sender that had no CPU for a while makes up for no more than this.
LATEST = 0.005
NUMBER = struct.Struct("!Q")


class Stream:
    """All that was sent, and what has come back of it."""

    def __init__(self, address, port, flows):
        self.selector = selectors.DefaultSelector()
        self.sockets = []
        for flow in range(flows):
            endpoint = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            endpoint.setblocking(False)
            endpoint.connect((address, port))
            self.selector.register(endpoint, selectors.EVENT_READ, flow)
            self.sockets.append(endpoint)
        self.sent = []  # when, by number
        self.arrived = []  # the first answer, or None
        self.times = []  # how many answers
        self.late = []  # whether a later one came before
        self.newest = [-1] * flows
        self.servers = [None] * flows
        self.moved = set()
        self.refused = 0

    def send(self, now):
        number = len(self.sent)
        self.sent.append(now)
        self.arrived.append(None)
        self.times.append(0)
        self.late.append(False)
        try:
            self.sockets[number % len(self.sockets)].send(NUMBER.pack(number))
        except OSError:
            self.refused += 1

    def receive(self, flow):
        try:
            server, _, number = self.sockets[flow].recv(2048).partition(b":")
        except BlockingIOError:
            return
        except OSError:
            self.refused += 1
            return
        number, = NUMBER.unpack(number)
        if self.times[number] == 0:
            self.arrived[number] = time.monotonic()
            self.late[number] = number < self.newest[flow]
        self.times[number] += 1
        self.newest[flow] = max(self.newest[flow], number)
        if self.servers[flow] not in (None, server):
            self.moved.add(flow)
        self.servers[flow] = server

    def is_over(self, begin, end):
        """Whether nothing more is to come of what was sent in between."""
        return time.monotonic() > self.sent[end - 1] + PATIENCE or all(self.times[begin:end])

    def report(self, begin, end):
        numbers = range(begin, end)
        answered = [number for number in numbers if self.times[number] > 0]
        arrivals = sorted(self.arrived[number] for number in answered)
        # An answer at either end, so that what is lost there counts from and to the ends of the window.
        whole = [begin, *answered, end - 1]
        outages = [self.sent[b] - self.sent[a] for a, b in zip(whole, whole[1:]) if b - a > 1]
        report = {
            "sent": end - begin,
            "lost": end - begin - len(answered),
            "duplicated": sum(self.times[number] - 1 for number in answered),
            "reordered": sum(self.late[number] for number in answered),
            "moved": len(self.moved),
            "refused": self.refused,
            "outage_ms": round(1000 * max(outages, default=0), 1),
            "gap_ms": round(1000 * max((b - a for a, b in zip(arrivals, arrivals[1:])), default=0), 1),
        }
        self.moved.clear()
        self.refused = 0
        return report


def main():
    address, (port, rate, flows) = sys.argv[1], map(int, sys.argv[2:])
    stream = Stream(address, port, flows)
    stream.selector.register(sys.stdin, selectors.EVENT_READ, None)
    next_at = time.monotonic()
    begin, end = 0, None  # of the window; its end once it is known
    while True:
        for key, _ in stream.selector.select(max(0.0, next_at - time.monotonic())):
            if key.data is not None:
                stream.receive(key.data)
            elif not sys.stdin.readline():
                return
            else:
                end = len(stream.sent)
        now = time.monotonic()
        if now >= next_at:
            stream.send(now)
            next_at = max(next_at + 1 / rate, now - LATEST)
        if end is not None and stream.is_over(begin, end):
            print(json.dumps(stream.report(begin, end)), flush=True)
            begin, end = end, None


main()
