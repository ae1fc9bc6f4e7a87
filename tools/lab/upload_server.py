"""upload_server.py PORT NAME: an HTTP server that answers a PUT with `NAME SHA-256` of the body."""

import hashlib
import http.server
import socket
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """Reads a body in pieces, keeps nothing but its hash."""
    protocol_version = "HTTP/1.1"

    def do_PUT(self):  # noqa: N802, the name is the library's
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        digest = hashlib.sha256()
        left = int(self.headers["Content-Length"])
        while left > 0:
            piece = self.rfile.read(min(left, 1 << 18))
            if not piece:
                return
            digest.update(piece)
            left -= len(piece)
        answer = f"{sys.argv[2]} {digest.hexdigest()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """All addresses of both families."""
    address_family = socket.AF_INET6
    request_queue_size = 128


Server(("::", int(sys.argv[1])), Handler).serve_forever()
