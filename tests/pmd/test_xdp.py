"""The engine in the kernel on Debian's own: golden packets through the program that is attached to interfaces.

Each case loads the programs anew, which takes the emulated kernel's verifier ten to twenty seconds.
"""

import os
import re
import subprocess

import pytest
from guide import ROOT

PROGRAM = [ROOT / "build/tests/packet/golden_xdp_test", ROOT / "tests/packets"]
GROUPS = ("dsr_l2", "tunnels", "nat", "full_nat", "nat46", "fragments", "access")


def listed():
    """[(group, case)]"""
    found = subprocess.run([*PROGRAM, "--gtest_list_tests"], capture_output=True, text=True, check=True).stdout
    group, cases = None, []
    for line in found.splitlines():
        if line.startswith("xdp/"):
            group = line.strip(".")
        elif line.startswith("  "):
            cases.append((group, line.split()[0]))
    return cases


def run_on_both(folder, choice):
    """Half of the chosen cases on each CPU; what they have written."""
    halves = []
    for half in range(2):
        with open(folder / f"{half}", "w", encoding="utf-8") as log:
            environment = {**os.environ, "GTEST_TOTAL_SHARDS": "2", "GTEST_SHARD_INDEX": f"{half}"}
            halves.append(subprocess.Popen([*PROGRAM, f"--gtest_filter={choice}"], stdout=log, stderr=subprocess.STDOUT,
                                           env=environment))
    codes = [one.wait() for one in halves]
    words = "".join((folder / f"{half}").read_text() for half in range(2))
    assert codes == [0, 0], words[-6000:]
    return words


def passed(words):
    return sum(int(count) for count in re.findall(r"^\[  PASSED  \] (\d+) tests?", words, re.M))


def test_golden_packets_of_each_kind(tmp_path):
    first = {group: case for group, case in reversed(listed())}
    chosen = [f"xdp/{group}.{first[f'xdp/{group}']}" for group in GROUPS]
    words = run_on_both(tmp_path, ":".join(chosen))
    assert passed(words) == len(chosen), words[-6000:]


@pytest.mark.every_case
def test_every_golden_packet(tmp_path):
    words = run_on_both(tmp_path, "*")
    skipped = {case for case in re.findall(r"^\[  SKIPPED \] (\S+)$", words, re.M)}
    # The kernel tells servers no client's address (docs/configuration.md).
    assert all(case.startswith("xdp/client_address.") for case in skipped), skipped
    print(f"{passed(words)} of {len(listed())} cases passed, {len(skipped)} are not for the kernel")
    assert passed(words) + len(skipped) == len(listed()), words[-6000:]
