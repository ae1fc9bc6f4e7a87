"""agent_server.py PORT LINE_FILE: an agent as HAProxy's agent-check asks one.

To each connection it says the line that the file has at this moment, and waits for the other side to close. When the
file is empty it says nothing.
"""

import pathlib
import socketserver
import sys
import threading

from tcp_server import TcpServer

PORT, LINE_FILE = int(sys.argv[1]), pathlib.Path(sys.argv[2])


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(30)
        line = LINE_FILE.read_text(encoding="utf-8")
        try:
            if line:
                self.request.sendall(line.encode() + b"\n")
            self.request.recv(1)
        except OSError:
            pass  # the check has seen enough


threading.stack_size(256 * 1024)
TcpServer(("::", PORT), Handler).serve_forever()
