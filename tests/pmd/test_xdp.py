"""The engine in the kernel on Debian's own: the golden packets, through the program that is attached to interfaces."""

import re
import subprocess

from guide import ROOT


def test_golden_packets():
    ran = subprocess.run([ROOT / "build/tests/packet/golden_xdp_test", ROOT / "tests/packets"], capture_output=True,
                         text=True, timeout=400)
    passed = re.search(r"\[  PASSED  \] (\d+) tests?", ran.stdout)
    assert ran.returncode == 0 and passed and int(passed[1]) > 50, ran.stdout[-3000:] + ran.stderr[-3000:]
    print(f"{passed[1]} golden packets")
