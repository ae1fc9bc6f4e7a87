"""HTTP load with a new connection for each request; run in the client's namespace by clients.py.

http_load.py ADDRESS PORT --requests=N [--concurrency=N] [--timeout=S]   ends after N requests
http_load.py ADDRESS PORT --until_stopped                                 ends when standard input is closed
Prints one JSON object: requests, failed, errors {text: count}, spread {server: count}, seconds.
"""

import argparse
import collections
import json
import time

from http_client import HttpClient


class Load:
    """A number of requests at the same time."""

    def __init__(self, options):
        self.options = options
        self.client = HttpClient(options.address, options.port, options.timeout, self._ended)
        self.started = 0
        self.done = 0
        self.errors = collections.Counter()
        self.spread = collections.Counter()
        self.stopping = False

    def run(self):
        if self.options.until_stopped:
            self.client.stop_with_input()
        begin = time.monotonic()
        while self._may_start() or self.client.open:
            while self._may_start() and len(self.client.open) < self.options.concurrency:
                self.started += 1
                self.client.start()
            self.stopping |= self.client.go_on(0.1)
        return {"requests": self.done, "failed": sum(self.errors.values()), "errors": dict(self.errors),
                "spread": dict(sorted(self.spread.items())), "seconds": round(time.monotonic() - begin, 3)}

    def _may_start(self):
        return not self.stopping and (self.options.until_stopped or self.started < self.options.requests)

    def _ended(self, _, server, error):
        self.done += 1
        if error is None:
            self.spread[server] += 1
        else:
            self.errors[error] += 1


parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("port", type=int)
parser.add_argument("--requests", type=int, default=0)
parser.add_argument("--until_stopped", action="store_true")
parser.add_argument("--concurrency", type=int, default=32)
parser.add_argument("--timeout", type=float, default=10.0)
print(json.dumps(Load(parser.parse_args()).run()))
