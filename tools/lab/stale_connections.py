"""Connections of which only this end is left; run in a server's namespace by servers.py.

stale_connections.py OWN PORT PEER FIRST LAST opens one with each of these ports of PEER without sending a packet (by
TCP_REPAIR), says so, and keeps them until it is ended.
"""

import signal
import socket
import sys

OWN, PORT, PEER, FIRST, LAST = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
# As linux/tcp.h has them; Python's socket does not.
TCP_REPAIR, REPAIR_ON, REPAIR_OFF_WITHOUT_A_PROBE = 19, 1, -1


def stale(port):
    connection = socket.socket(socket.AF_INET6 if ":" in OWN else socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, REPAIR_ON)
    connection.bind((OWN, PORT))
    connection.connect((PEER, port))
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF_WITHOUT_A_PROBE)
    return connection


connections = [stale(port) for port in range(FIRST, LAST + 1)]
print(f"has {len(connections)} connections", flush=True)
signal.pause()
