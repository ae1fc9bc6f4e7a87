"""HTTP requests at the same time, none waiting for another: what http_load.py and http_watch.py are made of."""

import errno
import os
import selectors
import socket
import sys
import time

EXPECTED = b"HTTP/1.1 200 "
# When a wait takes longer than it should by more than this, nothing has run here: that is not the servers' time.
LATE = 0.05


class HttpClient:
    """Requests to one address, each on a connection of its own, in a non-blocking socket."""

    def __init__(self, address, port, timeout, ended):
        """When a request has ended, ended(begin, server, error) is called; one of the last two is None."""
        self.address = (address, port)
        self.timeout = timeout
        self.ended = ended
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        host = f"[{address}]" if ":" in address else address
        self.request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        self.selector = selectors.DefaultSelector()
        self.open = {}  # socket -> [begin, bytes received, deadline]; in the order of their begin

    def stop_with_input(self):
        """From here on go_on() tells when standard input is closed."""
        self.selector.register(sys.stdin, selectors.EVENT_READ)

    def start(self):
        """Begins another request."""
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        connection.setblocking(False)
        now = time.monotonic()
        self.open[connection] = [now, bytearray(), now + self.timeout]
        code = connection.connect_ex(self.address)
        if code in (0, errno.EINPROGRESS):
            self.selector.register(connection, selectors.EVENT_WRITE)
        else:
            self._finish(connection, error=os.strerror(code))

    def go_on(self, seconds):
        """Waits for so long until a request can go on. True, once, when standard input has been closed."""
        stopped = False
        due = time.monotonic() + seconds
        for key, events in self.selector.select(seconds):
            if key.fileobj is sys.stdin:
                self.selector.unregister(sys.stdin)
                stopped = True
            else:
                self._ready(key.fileobj, events)
        now = time.monotonic()
        self._expire(now, now - due)
        return stopped

    def _expire(self, now, late):
        if late > LATE:
            for one in self.open.values():
                one[2] += late
        for connection in [c for c, (_, _, deadline) in self.open.items() if deadline < now]:
            self._finish(connection, error="no answer in time")

    def _ready(self, connection, events):
        try:
            if events & selectors.EVENT_WRITE:
                connection.send(self.request)
                self.selector.modify(connection, selectors.EVENT_READ)
                return
            piece = connection.recv(65536)
        except OSError as error:
            self._finish(connection, error=os.strerror(error.errno))
            return
        if piece:
            self.open[connection][1] += piece
            return
        answer = bytes(self.open[connection][1])
        head, separator, body = answer.partition(b"\r\n\r\n")
        if separator and head.startswith(EXPECTED) and body:
            self._finish(connection, server=body.decode().strip())
        else:
            self._finish(connection, error="not a complete answer: " + repr(answer[:60]))

    def _finish(self, connection, server=None, error=None):
        if connection.fileno() in self.selector.get_map():
            self.selector.unregister(connection)
        begin = self.open.pop(connection)[0]
        connection.close()
        self.ended(begin, server, error)
