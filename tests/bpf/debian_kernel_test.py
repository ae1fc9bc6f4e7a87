#!/usr/bin/python3
"""Debian 12's own kernel, 6.1: what its verifier thinks of the programs, and that they do there what they do natively.

    this machine
    '---- an emulated PC (QEMU): Debian's kernel, on this machine's files; the test programs given

usage: debian_kernel_test.py TEST FILTER [TEST FILTER]...

What is given are programs of GoogleTest.
"""

import pathlib
import sys
import tempfile
import xml.etree.ElementTree as xml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tools"))

from lab.emulated_pc import EmulatedPc  # noqa: E402

# Nobody waits so long: software emulates the PC, and its verifier takes ten seconds for a program.
DEADLINE = 500


def all_ran(report):
    """Whether a test program had cases, and left out none; whether they passed says its exit code."""
    cases = list(xml.parse(report).getroot().iter("testcase")) if report.exists() else []
    return bool(cases) and all(case.get("result") == "completed" for case in cases)


def main(tests):
    with tempfile.TemporaryDirectory(prefix="sluice-kernel-") as folder:
        pc = EmulatedPc(pathlib.Path(folder), [])
        reports = [pc.results / f"{number}.xml" for number in range(len(tests))]
        lines = ["uname -r > /run/results/kernel"]
        for (program, chosen), report in zip(tests, reports):
            lines.append(f'{pathlib.Path(program).absolute()} --gtest_filter="{chosen}" '
                         f'--gtest_output=xml:/run/results/{report.name}')
        ended = pc.run(" && ".join(lines), DEADLINE)
        kernel = pc.results / "kernel"
        whole = kernel.exists() and kernel.read_text().startswith("6.1.") and all(map(all_ran, reports))
    return 0 if ended == 0 and whole else 1


if __name__ == "__main__":
    sys.exit(main(list(zip(sys.argv[1::2], sys.argv[2::2]))))
