"""slow_server.py PORT NAME DELAY: HTTP that answers every request with the name, DELAY seconds after it has come."""

import socketserver
import sys
import threading
import time

from tcp_server import TcpServer, read_request

PORT, NAME, DELAY = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
ANSWER = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(NAME)}\r\n\r\n{NAME}".encode()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(30)
        if read_request(self.request):
            time.sleep(DELAY)
            self.request.sendall(ANSWER)


threading.stack_size(256 * 1024)
TcpServer(("::", PORT), Handler).serve_forever()
