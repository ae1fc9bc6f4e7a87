"""slow_server.py PORT NAME DELAY: HTTP that answers every request with the name, DELAY seconds after it has come."""

import socket
import socketserver
import sys
import threading
import time

PORT, NAME, DELAY = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
ANSWER = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(NAME)}\r\n\r\n{NAME}".encode()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(30)
        request = b""
        while b"\r\n\r\n" not in request:
            piece = self.request.recv(4096)
            if not piece:
                return
            request += piece
        time.sleep(DELAY)
        self.request.sendall(ANSWER)


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        pass  # a client that has gone


threading.stack_size(256 * 1024)
Server(("::", PORT), Handler).serve_forever()
