"""The engine in the kernel: beside an LRU hash in the same run, and beside listed figures of the best-known XDP one.

Those figures are in bench/xdp_bench.cc, which tells them with its own: of an Intel Xeon (Emerald Rapids) at 2.3 GHz, by
the balancer's own benchmark, the fastest of many runs.
"""

import dataclasses
import statistics

from figures.rows import google, row

# Of all ways of forwarding, those that tell the rest: TCP over IPv4, tunnelled and translated. And all that is listed.
ROWS = ("^established/(ipip|nat)/ipv4/tcp/|^new/[a-z0-9_]+/ipv4/tcp/|"
        "^established/ipip/(ipv4/udp|ipv6/tcp)/flows:(1000|64000)/|^not_ours/ipv4")
NOTE = ("Listed are nanoseconds of an Intel Xeon (Emerald Rapids) at 2.3 GHz, the fastest of many runs, and here are "
        "medians: on any other machine the ratios have a part that is the machine's. The last row tells how large it "
        "is: our own LRU hash, in which that balancer too keeps its flows, beside what is listed.")
REFERENCE = "the LRU hash, median of the rows with flows"


def xdp(runs):
    """Rounds of the engine, its reference and the empty wrapper are in turns inside of each repetition."""
    # A round is of 200,000 packets at least, and of each side: one or two of them a repetition.
    few = dataclasses.replace(runs, seconds=runs.seconds / 5)
    return made(google("bench/xdp_bench", few, ROWS, interleaved=False))


def made(found):
    rows = [row("xdp", name, "ns/packet", [one["ns"] for one in ones], ("LRU hash", [one["reference"] for one in ones]))
            for name, ones in found.items()]
    listed = {name: ones for name, ones in found.items() if "peer" in ones[0]}
    rows += [row("peers", name, "ns/packet", [one["ns"] for one in ones], ("listed", [ones[0]["peer"]]))
             for name, ones in listed.items()]
    shares = [statistics.median(one["reference"] for one in ones) / ones[0]["peer"] for name, ones in listed.items()
              if not name.startswith("not_ours")]
    return rows + ([row("peers", REFERENCE, "of what is listed", shares)] if shares else [])
