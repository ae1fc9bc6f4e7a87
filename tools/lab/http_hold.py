"""Many open HTTP connections; run in the client's namespace by clients.py.

http_hold.py ADDRESS PORT COUNT TIMEOUT opens them, asks each who serves it, prints a JSON object; again for each line
on standard input: open, broken {text: count}, moved (another server than before), spread {server: count}.
"""

import collections
import itertools
import json
import socket
import sys
import time

ADDRESS, PORT, COUNT, TIMEOUT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
# So many wait for their answers together: a broken one costs its timeout.
AT_ONCE = 150
REQUEST = b"GET / HTTP/1.1\r\nHost: held\r\n\r\n"


def read_answer(connection, deadline):
    """Name of the server that answers."""
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        piece = connection.recv(4096)
        if not piece:
            raise OSError("closed by the other side")
        answer += piece
    return answer.partition(b"\r\n\r\n")[2].decode().strip()


def ask(connections):
    """Asks some connections at once; yields for each what it answers: a server's name, or an OSError."""
    errors = {}
    for connection in connections:
        try:
            connection.sendall(REQUEST)
        except OSError as error:
            errors[connection] = error
    deadline = time.monotonic() + TIMEOUT
    for connection in connections:
        try:
            yield errors.get(connection) or read_answer(connection, deadline)
        except OSError as error:
            yield error


def ask_all(connections, before):
    """Asks every connection; what is printed."""
    broken, spread, moved = collections.Counter(), collections.Counter(), 0
    groups = [connections[first:first + AT_ONCE] for first in range(0, len(connections), AT_ONCE)]
    for number, answer in enumerate(itertools.chain.from_iterable(map(ask, groups))):
        if isinstance(answer, OSError):
            broken[str(answer)] += 1
            continue
        moved += before.setdefault(number, answer) != answer
        spread[answer] += 1
    return {"open": sum(spread.values()), "broken": dict(broken), "moved": moved,
            "spread": dict(sorted(spread.items()))}


def main():
    connections = [socket.create_connection((ADDRESS, PORT), timeout=10) for _ in range(COUNT)]
    servers = {}
    print(json.dumps(ask_all(connections, servers)), flush=True)
    for _ in sys.stdin:
        print(json.dumps(ask_all(connections, servers)), flush=True)


main()
