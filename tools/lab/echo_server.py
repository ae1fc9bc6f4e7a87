"""echo_server.py PORT NAME ADDRESS...: sends each UDP datagram back as `NAME:` and what came.

Bound to each address on its own, so that the answer comes from the address that was asked.
"""

import selectors
import socket
import sys

selector = selectors.DefaultSelector()
for address in sys.argv[3:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    endpoint = socket.socket(family, socket.SOCK_DGRAM)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    endpoint.bind((address, int(sys.argv[1])))
    selector.register(endpoint, selectors.EVENT_READ)
prefix = sys.argv[2].encode() + b":"
while True:
    for key, _ in selector.select():
        datagram, sender = key.fileobj.recvfrom(65535)
        key.fileobj.sendto(prefix + datagram, sender)
