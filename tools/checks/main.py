"""The entry of tools/check."""

import argparse
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from checks import suites  # noqa: E402
from checks.results import Results  # noqa: E402

SUITES = {
    "lint": "who may include whom, lengths, layout; and lint's own tests",
    "unit": "unit tests; in a whole run only with the sanitizers, below",
    "packet": "golden packets",
    "sim": "the engine in memory, seeded",
    "bpf": "the path as BPF, loaded into the kernel",
    "asan": "unit, packet and sim with the address and undefined-behaviour sanitizers",
    "tsan": "the tests labelled `concurrent` with the thread sanitizer",
    "clang": "the programs build with clang++",
    "fuzz": "the fuzz targets, a short while each",
    "bench": "the benchmarks run, and no stage of the path has more instructions than are recorded",
    "pmd": "PCI devices that DPDK owns, in an emulated PC",
    "debian": "every golden packet through XDP on Debian's own kernel, in an emulated PC",
    "e2e": "real clients and servers in network namespaces",
    "upgrade": "from the build before this one, which is made for that, to this one and back, under load",
    "tidy": "clang-tidy over src/; takes minutes, not part of a whole run",
}
NOT_BY_DEFAULT = {"tidy"}
# Left out of a whole run as well, which says so: they take minutes, and time is what a whole run is short of.
SAID_TO_BE_LEFT_OUT = {"pmd": "nine minutes of an emulated PC", "debian": "ten minutes of an emulated PC",
                       "upgrade": "the build before this one is built first"}
WITHOUT_ROOT = {"lint", "unit", "clang", "tidy"}


def main():
    listed = "\n".join(f"  {name:7} {words}" for name, words in SUITES.items())
    parser = argparse.ArgumentParser(
        prog="tools/check", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Builds and runs the named suites; most of them without names.", epilog=f"suites:\n{listed}")
    parser.add_argument("suites", nargs="*", metavar="suite", choices=[[], *SUITES])
    parser.add_argument("--record-instructions", action="store_true",
                        help="counts those of bench/path_bench, from here on what `bench` asks for, and ends")
    options = parser.parse_args()
    if options.record_instructions:
        return suites.record_instructions(Results())
    names = set(options.suites)
    if not names:
        names = set(SUITES) - NOT_BY_DEFAULT - set(SAID_TO_BE_LEFT_OUT) | {"all"}
    if os.geteuid() != 0 and not names <= WITHOUT_ROOT:
        print("check: needs root for network namespaces and BPF; run: sudo tools/check", file=sys.stderr)
        return 1
    begin = time.monotonic()
    results = Results()
    if not names <= WITHOUT_ROOT:
        suites.have_bpffs(results)
    suites.run(results, names)
    for name, why in SAID_TO_BE_LEFT_OUT.items():
        if "all" in names:
            results.skip(name, f"{why}; run: sudo tools/check {name}")
    print(f"== {time.monotonic() - begin:.0f} s")
    return results.report()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("check: interrupted", file=sys.stderr)
        sys.exit(130)
