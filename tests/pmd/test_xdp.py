"""The engine in the kernel on Debian's own: golden packets through the program that is attached to interfaces."""

import re
import subprocess

from guide import ROOT

PROGRAM = [ROOT / "build/tests/packet/golden_xdp_test", ROOT / "tests/packets"]
# Each case loads the programs anew, which takes the emulated kernel's verifier ten to twenty seconds: one of each kind.
GROUPS = ("dsr_l2", "tunnels", "nat", "full_nat", "nat46", "fragments", "access")


def first_of_each():
    listed = subprocess.run([*PROGRAM, "--gtest_list_tests"], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"^xdp/(\w+)\.\n  (\S+)", listed, re.M))
    return [f"xdp/{group}.{found[group]}" for group in GROUPS]


def test_golden_packets():
    chosen = first_of_each()
    ran = subprocess.run([*PROGRAM, f"--gtest_filter={':'.join(chosen)}"], capture_output=True, text=True, timeout=400)
    words = ran.stdout[-3000:] + ran.stderr[-3000:]
    assert ran.returncode == 0 and f"[  PASSED  ] {len(chosen)} tests" in ran.stdout, words
