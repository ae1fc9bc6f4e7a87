"""What the lab's servers of TCP have in common."""

import socket
import socketserver


class TcpServer(socketserver.ThreadingTCPServer):
    """Over both IP versions, a thread for each connection."""
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        pass  # a client that has gone


def read_request(connection):
    """Reads a request of HTTP up to its empty line; False when the client goes before that."""
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(4096)
        if not piece:
            return False
        request += piece
    return True
