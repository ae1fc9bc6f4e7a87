"""Very many TCP connections at once, each of which has to echo; run in a namespace by clients.py and servers.py.

tcp_many.py serve PORT                     accepts on all addresses of both families and sends every byte back
tcp_many.py hold ADDRESS PORT COUNT TIMEOUT   opens that many; prints a JSON object, and again for each line of input:
    "open N" opens more, "close N" ends the oldest, "ask" has every connection echo once more
The object: open, and failed {text: count} since the last one.
"""

import collections
import errno
import json
import os
import resource
import select
import socket
import sys
import time

# Connections that are being opened, or have not echoed yet, at a time.
WINDOW = 400


def raise_limits():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(port):
    listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=4096, dualstack_ipv6=True)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                accept(listener, poll, connections)
            else:
                echo(descriptor, poll, connections)


def accept(listener, poll, connections):
    try:
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            connections[connection.fileno()] = connection
            poll.register(connection, select.EPOLLIN)
    except BlockingIOError:
        pass


def echo(descriptor, poll, connections):
    try:
        data = connections[descriptor].recv(4096)
        if data:
            connections[descriptor].send(data)
            return
    except OSError:
        pass
    poll.unregister(descriptor)
    connections.pop(descriptor).close()


class Holder:
    """The client's connections."""

    def __init__(self, address, port, timeout):
        self.target = (address, port)
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.timeout = timeout
        self.open = collections.OrderedDict()
        self.failed = collections.Counter()
        self.poll = select.epoll()

    def add(self, count):
        """Opens so many; each counts once it has echoed."""
        self._run(count, self._connect)

    def ask(self):
        """Has every connection echo once more."""
        waiting = list(self.open.values())
        self._run(len(waiting), lambda: waiting.pop(0), fresh=False)

    def close(self, count):
        for _ in range(min(count, len(self.open))):
            self.open.popitem(last=False)[1].close()

    def _connect(self):
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        connection.setblocking(False)
        # Few ports are free in the end: the kernel looks for one that is free toward this target.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        result = connection.connect_ex(self.target)
        if result not in (0, errno.EINPROGRESS):
            connection.close()
            raise OSError(result, os.strerror(result))
        return connection

    def _run(self, count, make, fresh=True):
        """Keeps up to WINDOW of them under way until `count` have echoed or failed."""
        under_way = collections.OrderedDict()
        made = 0
        while made < count or under_way:
            while made < count and len(under_way) < WINDOW:
                made += 1
                try:
                    connection = make()
                except OSError as error:
                    self.failed[str(error)] += 1
                    continue
                under_way[connection.fileno()] = (connection, time.monotonic() + self.timeout)
                self.poll.register(connection, select.EPOLLOUT)
            for descriptor, events in self.poll.poll(0.05):
                self._step(under_way, descriptor, events)
            self._give_up(under_way)

    def _step(self, under_way, descriptor, events):
        connection, _ = under_way[descriptor]
        try:
            if events & select.EPOLLOUT:
                connection.send(b"x")
                self.poll.modify(descriptor, select.EPOLLIN)
                return
            if connection.recv(16) != b"x":
                raise OSError("closed by the other side")
            self.poll.unregister(descriptor)
            self.open[descriptor] = connection
            del under_way[descriptor]
        except OSError as error:
            self._fail(under_way, descriptor, str(error))

    def _give_up(self, under_way):
        now = time.monotonic()
        while under_way and next(iter(under_way.values()))[1] < now:
            self._fail(under_way, next(iter(under_way)), "no answer")

    def _fail(self, under_way, descriptor, text):
        self.poll.unregister(descriptor)
        under_way.pop(descriptor)[0].close()
        self.open.pop(descriptor, None)
        self.failed[text] += 1

    def report(self):
        print(json.dumps({"open": len(self.open), "failed": dict(self.failed)}), flush=True)
        self.failed.clear()


def hold(address, port, count, timeout):
    holder = Holder(address, port, timeout)
    holder.add(count)
    holder.report()
    for line in sys.stdin:
        verb, _, number = line.strip().partition(" ")
        if verb == "open":
            holder.add(int(number))
        elif verb == "close":
            holder.close(int(number))
        else:
            holder.ask()
        holder.report()


raise_limits()
if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    hold(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
