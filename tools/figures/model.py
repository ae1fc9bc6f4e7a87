"""The model of docs/performance.md: what a packet takes of each stage, by callgrind, which counts the same every time.

Instructions, and cache lines that are not in the first level (32 KiB, 8 ways, of 64 bytes): those that stages touch
with many flows, and that have to come from further away.
"""

import concurrent.futures
import os

from checks import instructions
from figures.rows import Failed, row

CACHES = ("--cache-sim=yes", "--D1=32768,8,64", "--I1=32768,8,64", "--LL=1048576,16,64")
# With so many flows that none of their lines is in the first level.
ROWS = ("Floor/4", "Parse/4", "Hash/4", "Listener/4", "ConnectionHit/64000", "ConnectionMiss/64000", "Rewrite/1",
        "Rewrite/2", "Rewrite/3", "InsertEmpty/64000", "InsertUsed/64000", "InsertFull/64000", "Select/0",
        "AccessPrefix/100000", "SourceRate/60000", "Translate/4", "SessionHit/64000", "BurstDsrL2/1000",
        "BurstDsrL2/64000", "BurstIpip/1000", "BurstNewFlows/64000", "NatForward/64000", "NatReverse/64000",
        "BurstNewNat/64000")


def count(_runs):
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            counted = dict(zip(ROWS, pool.map(lambda name: instructions.count(name, *CACHES), ROWS)))
        except RuntimeError as error:
            raise Failed(str(error)) from error
    return made(counted)


def made(counted):
    rows = []
    for name, events in counted.items():
        rows.append(row("model", name, "instructions", [events["Ir"]]))
        rows.append(row("model", f"{name}, lines", "cache lines", [events["D1mr"] + events["D1mw"]]))
    return rows
