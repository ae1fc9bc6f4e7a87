"""Instructions a packet, for each stage of the path and for the whole burst, held against those that are recorded.

Callgrind counts what bench/path_bench times. The same code always has the same count, so it can fail where a time could
only be looked at. It emulates an x86-64 without AVX-512.
"""

import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import subprocess
import tempfile

from checks.builds import ROOT

PROGRAM = ROOT / "build/bench/path_bench"
RECORD = ROOT / "bench/path_instructions.json"
# Packets of one iteration.
BURST = int(re.search(r"#define SLUICE_BURST (\d+)", (ROOT / "include/sluice/types.h").read_text())[1])
# By so much may a row grow before it fails.
MOST = 1.03
# As path_bench names them; those whose tables do not change with how many packets have been.
ROWS = ("Floor/4", "Floor/6", "Parse/4", "Parse/6", "Hash/4", "Hash/6", "Listener/4", "Listener/6",
        "ConnectionHit/1000", "ConnectionMiss/1000", "Rewrite/1", "Rewrite/2", "Rewrite/3", "BurstDsrL2/1000",
        "BurstDsrL2Ipv6/1000", "BurstDsrL2Virtual/1000", "BurstIpip/1000", "BurstGue/1000", "BurstNewFlows/1000",
        "BurstNewFlowsIpv6/1000", "NatForward/1000", "NatReverse/1000", "FullNatForward/1000", "FullNatReverse/1000",
        "InsertFull/64000", "Select/0", "Select/1", "Select/2", "Select/3", "Select/4", "Select/5",
        "AccessPrefix/100000", "Translate/4", "Translate/6", "Checksum/1460", "SessionHit/1000")


def compiler():
    """What made the program, as it says itself."""
    said = subprocess.run(["readelf", "-p", ".comment", PROGRAM], check=True, capture_output=True, text=True).stdout
    return re.search(r"GCC: \(.*\) (\S+)|(clang version \S+)", said)[0]


def count(row, *options):
    """{event: how many of it a packet takes}; of callgrind's, of which Ir is instructions."""
    with tempfile.TemporaryDirectory(prefix="sluice-instructions-") as folder:
        ran = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no", *options,
             f"--callgrind-out-file={folder}/out", PROGRAM,
             f"--benchmark_filter=^{row}/manual_time$", "--benchmark_min_time=0.05"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL)
        # Each pass of the benchmark has written one, with its number of iterations; the last pass is the longest.
        dumps = [path.read_text(encoding="utf-8", errors="replace") for path in pathlib.Path(folder).iterdir()]
    found = [(int(passed[1]), dump) for dump in dumps
             if (passed := re.search(r"^desc: Trigger: Client Request: (\d+) iterations$", dump, re.M))]
    if ran.returncode != 0 or not found:
        raise RuntimeError(f"{row} was not counted:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    iterations, dump = max(found)
    events = re.search(r"^events: (.*)$", dump, re.M)[1].split()
    totals = re.search(r"^totals: (.*)$", dump, re.M)[1].split()
    # Those at the end that are zero are left out.
    return {event: int(total) / iterations / BURST for event, total in
            itertools.zip_longest(events, totals, fillvalue="0")}


def count_all():
    """{row: instructions a packet}"""
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return {row: counted["Ir"] for row, counted in zip(ROWS, pool.map(count, ROWS))}


def record():
    rows = {row: round(number, 1) for row, number in count_all().items()}
    RECORD.write_text(json.dumps({"compiler": compiler(), "instructions_per_packet": rows}, indent=2) + "\n")


def check(results):
    """Adds each row."""
    recorded = json.loads(RECORD.read_text())
    if recorded["compiler"] != compiler():
        results.skip("instructions", f"recorded with {recorded['compiler']}, and this is {compiler()}")
        return
    for row, now in count_all().items():
        before = recorded["instructions_per_packet"][row]
        print(f"   {row:24} {now:7.1f} instructions a packet, {100 * (now / before - 1):+.1f} %", flush=True)
        results.add(f"instructions: {row}", now <= MOST * before,
                    f"{now:.1f} a packet where {before} are recorded; if that is its price, say in the commit what it "
                    "buys, and record it: tools/check --record-instructions")
