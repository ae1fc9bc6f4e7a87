"""HTTP load with a new connection for each request; run in the client's namespace by clients.py.

http_load.py ADDRESS PORT --requests=N [--concurrency=N] [--timeout=S]   ends after N requests
http_load.py ADDRESS PORT --until_stopped                                 ends when standard input is closed
Prints one JSON object: requests, failed, errors {text: count}, spread {server: count}, seconds.
"""

import argparse
import collections
import errno
import json
import os
import selectors
import socket
import sys
import time

EXPECTED = b"HTTP/1.1 200 "


class Load:
    """A number of requests at the same time, each in its own non-blocking socket."""

    def __init__(self, options):
        self.options = options
        self.family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
        host = f"[{options.address}]" if ":" in options.address else options.address
        self.request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        self.selector = selectors.DefaultSelector()
        self.started = 0
        self.done = 0
        self.errors = collections.Counter()
        self.spread = collections.Counter()
        self.open = {}  # socket -> [deadline, bytes received]; in the order of the deadlines
        self.stopping = False

    def run(self):
        if self.options.until_stopped:
            self.selector.register(sys.stdin, selectors.EVENT_READ)
        begin = time.monotonic()
        while self._may_start() or self.open:
            while self._may_start() and len(self.open) < self.options.concurrency:
                self._start()
            for key, events in self.selector.select(0.1):
                self._ready(key.fileobj, events)
            self._expire()
        return {"requests": self.done, "failed": sum(self.errors.values()), "errors": dict(self.errors),
                "spread": dict(sorted(self.spread.items())), "seconds": round(time.monotonic() - begin, 3)}

    def _may_start(self):
        return not self.stopping and (self.options.until_stopped or self.started < self.options.requests)

    def _start(self):
        self.started += 1
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        connection.setblocking(False)
        code = connection.connect_ex((self.options.address, self.options.port))
        self.open[connection] = [time.monotonic() + self.options.timeout, bytearray()]
        if code not in (0, errno.EINPROGRESS):
            self._finish(connection, os.strerror(code))
            return
        self.selector.register(connection, selectors.EVENT_WRITE)

    def _ready(self, connection, events):
        if connection is sys.stdin:
            self.stopping = True
            self.selector.unregister(sys.stdin)
            return
        try:
            if events & selectors.EVENT_WRITE:
                connection.send(self.request)
                self.selector.modify(connection, selectors.EVENT_READ)
                return
            piece = connection.recv(65536)
        except OSError as error:
            self._finish(connection, os.strerror(error.errno))
            return
        if piece:
            self.open[connection][1] += piece
        else:
            self._answered(connection, bytes(self.open[connection][1]))

    def _answered(self, connection, answer):
        head, separator, body = answer.partition(b"\r\n\r\n")
        if not separator or not head.startswith(EXPECTED) or not body:
            self._finish(connection, "not a complete answer: " + repr(answer[:60]))
            return
        self.spread[body.decode().strip()] += 1
        self._finish(connection, None)

    def _finish(self, connection, error):
        if connection.fileno() in self.selector.get_map():
            self.selector.unregister(connection)
        del self.open[connection]
        connection.close()
        self.done += 1
        if error is not None:
            self.errors[error] += 1

    def _expire(self):
        now = time.monotonic()
        for connection in [c for c, (deadline, _) in self.open.items() if deadline < now]:
            self._finish(connection, "no answer in time")


parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("port", type=int)
parser.add_argument("--requests", type=int, default=0)
parser.add_argument("--until_stopped", action="store_true")
parser.add_argument("--concurrency", type=int, default=32)
parser.add_argument("--timeout", type=float, default=10.0)
print(json.dumps(Load(parser.parse_args()).run()))
