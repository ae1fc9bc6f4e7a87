"""http_watch.py ADDRESS PORT [--every=S] [--timeout=S]: one HTTP request every so often, none waiting for another.

Each has a connection of its own. Run in the client's namespace by clients.py; ends when standard input is closed.
Writes a line for each when it has ended: `BEGIN END WORDS`, times of CLOCK_MONOTONIC, which all namespaces share. WORDS
is the server's name, or `failed: ` and why.
"""

import argparse
import time

from http_client import HttpClient


def write(begin, server, error):
    print(f"{begin:.4f} {time.monotonic():.4f} {server or f'failed: {error}'}", flush=True)


def watch(options):
    client = HttpClient(options.address, options.port, options.timeout, write)
    client.stop_with_input()
    due = time.monotonic()
    while not client.go_on(max(0.0, due - time.monotonic())):
        if time.monotonic() >= due:
            due = max(due + options.every, time.monotonic())
            client.start()


parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("port", type=int)
parser.add_argument("--every", type=float, default=0.01)
parser.add_argument("--timeout", type=float, default=1.0)
watch(parser.parse_args())
