"""http_watch.py ADDRESS PORT [--every=S] [--timeout=S]: one HTTP request every so often, none waiting for another.

Each has a connection of its own. Run in the client's namespace by clients.py; ends when standard input is closed.
Writes a line for each when it has ended: `BEGIN END WORDS`, times of CLOCK_MONOTONIC, which all namespaces share. WORDS
is the server's name, or `failed: ` and why.
"""

import argparse
import errno
import os
import selectors
import socket
import sys
import time

EXPECTED = b"HTTP/1.1 200 "


class Watch:
    """The requests that are under way."""

    def __init__(self, options):
        self.options = options
        self.family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
        self.request = b"GET / HTTP/1.1\r\nHost: watch\r\nConnection: close\r\n\r\n"
        self.selector = selectors.DefaultSelector()
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        self.open = {}  # socket -> [begin, bytes received]; in the order of their begin

    def run(self):
        due = time.monotonic()
        while True:
            for key, events in self.selector.select(max(0.0, due - time.monotonic())):
                if key.fileobj is sys.stdin:
                    return
                self._ready(key.fileobj, events)
            self._expire()
            if time.monotonic() >= due:
                due = max(due + self.options.every, time.monotonic())
                self._start()

    def _start(self):
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        connection.setblocking(False)
        self.open[connection] = [time.monotonic(), bytearray()]
        code = connection.connect_ex((self.options.address, self.options.port))
        if code not in (0, errno.EINPROGRESS):
            self._finish(connection, f"failed: {os.strerror(code)}")
            return
        self.selector.register(connection, selectors.EVENT_WRITE)

    def _ready(self, connection, events):
        try:
            if events & selectors.EVENT_WRITE:
                connection.send(self.request)
                self.selector.modify(connection, selectors.EVENT_READ)
                return
            piece = connection.recv(65536)
        except OSError as error:
            self._finish(connection, f"failed: {os.strerror(error.errno)}")
            return
        if piece:
            self.open[connection][1] += piece
            return
        head, separator, body = bytes(self.open[connection][1]).partition(b"\r\n\r\n")
        whole = separator and head.startswith(EXPECTED) and body
        self._finish(connection, body.decode().strip() if whole else "failed: not a complete answer")

    def _finish(self, connection, words):
        if connection.fileno() in self.selector.get_map():
            self.selector.unregister(connection)
        begin = self.open.pop(connection)[0]
        connection.close()
        print(f"{begin:.4f} {time.monotonic():.4f} {words}", flush=True)

    def _expire(self):
        before = time.monotonic() - self.options.timeout
        for connection in [c for c, (begin, _) in self.open.items() if begin < before]:
            self._finish(connection, "failed: no answer in time")


parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("port", type=int)
parser.add_argument("--every", type=float, default=0.01)
parser.add_argument("--timeout", type=float, default=1.0)
Watch(parser.parse_args()).run()
