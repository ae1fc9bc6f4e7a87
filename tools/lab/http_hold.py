"""Many open HTTP connections; run in the client's namespace by clients.py.

http_hold.py ADDRESS PORT COUNT TIMEOUT opens them, asks each who serves it, prints a JSON object; again for each line
on standard input: open, broken {text: count}, moved (another server than before), spread {server: count}.
"""

import collections
import json
import socket
import sys

ADDRESS, PORT, COUNT, TIMEOUT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
REQUEST = b"GET / HTTP/1.1\r\nHost: held\r\n\r\n"


def ask(connection):
    """Name of the server that answers."""
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
        piece = connection.recv(4096)
        if not piece:
            raise OSError("closed by the other side")
        answer += piece
    return answer.partition(b"\r\n\r\n")[2].decode().strip()


def ask_all(connections, before):
    """Asks every connection; what is printed."""
    broken, spread, moved = collections.Counter(), collections.Counter(), 0
    for number, connection in enumerate(connections):
        try:
            server = ask(connection)
        except OSError as error:
            broken[str(error)] += 1
            continue
        moved += before.setdefault(number, server) != server
        spread[server] += 1
    return {"open": sum(spread.values()), "broken": dict(broken), "moved": moved,
            "spread": dict(sorted(spread.items()))}


def main():
    connections = [socket.create_connection((ADDRESS, PORT), timeout=10) for _ in range(COUNT)]
    for connection in connections:
        connection.settimeout(TIMEOUT)
    servers = {}
    print(json.dumps(ask_all(connections, servers)), flush=True)
    for _ in sys.stdin:
        print(json.dumps(ask_all(connections, servers)), flush=True)


main()
