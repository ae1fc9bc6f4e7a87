"""health_server.py PORT MODE_FILE [--udp | --grpc] [--certificate=PEM --key=PEM]

What health checks ask, as a test wants it. The file says what it does at this moment: `ok` answers well, `wrong`
answers something else, `hang` says nothing. Over TCP it speaks HTTP, or gRPC (grpc.health.v1), with a certificate
inside TLS; over UDP `healthy` and `sick`.
"""

import argparse
import pathlib
import socket
import socketserver
import ssl
import threading
import time

from tcp_server import TcpServer, read_request

ANSWERS = {"ok": b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhealthy",
           "wrong": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nsick"}
# grpc.health.v1.HealthCheckResponse: SERVING, NOT_SERVING.
MESSAGES = {"ok": b"\x08\x01", "wrong": b"\x08\x02"}
DATAGRAMS = {"ok": b"healthy", "wrong": b"sick"}


def mode():
    return pathlib.Path(options.mode_file).read_text(encoding="utf-8").strip()


def serve(connection):
    """One connection. One that hangs is held until its client goes."""
    try:
        connection.settimeout(30)
        if mode() == "hang":
            connection.recv(1)
            time.sleep(5)
            return
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        if read_request(connection):
            connection.sendall(ANSWERS[mode()])
    except OSError:
        pass  # the check has seen enough
    finally:
        connection.close()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        serve(self.request)


def serve_udp():
    endpoint = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    endpoint.bind(("::", options.port))
    while True:
        _, asked, _, sender = endpoint.recvmsg(65535, socket.CMSG_SPACE(20))
        # From the address that was asked, which need not be the node's first one; by any interface.
        answer_from = asked[0][2][:16] + bytes(4)
        if mode() in DATAGRAMS:
            endpoint.sendmsg([DATAGRAMS[mode()]], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, answer_from)], 0, sender)


def check(request, call):
    del request
    while mode() not in MESSAGES and call.is_active():
        time.sleep(0.02)
    return MESSAGES.get(mode(), b"")


def serve_grpc():
    import grpc  # which takes its time to load
    from concurrent import futures
    server = grpc.server(futures.ThreadPoolExecutor(8))
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    if options.certificate:
        pair = pathlib.Path(options.key).read_bytes(), pathlib.Path(options.certificate).read_bytes()
        server.add_secure_port(f"[::]:{options.port}", grpc.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(f"[::]:{options.port}")
    server.start()
    server.wait_for_termination()


parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("mode_file")
parser.add_argument("--udp", action="store_true")
parser.add_argument("--grpc", action="store_true")
parser.add_argument("--certificate")
parser.add_argument("--key")
options = parser.parse_args()
context = None
if options.certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate, options.key)
threading.stack_size(256 * 1024)
if options.udp:
    serve_udp()
elif options.grpc:
    serve_grpc()
else:
    TcpServer(("::", options.port), Handler).serve_forever()
