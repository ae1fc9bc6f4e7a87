#!/usr/bin/python3
"""bench/against_testpmd for a moment: a table with all sides, and words when one of them is missing.

usage: against_testpmd_test.py PATH_TO_SLUICEBENCH
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "bench" / "against_testpmd"
PROGRAM = ""
PATIENCE = 200
LINE = r"^\| (\d+) \| ([a-z0-9_ ]+) \| ([\d.]+) \(.*?\) \| [\d.]+ \| (?:(\d+) %)? \| (?:(\d+) %)? \|$"


def run(*options, path=os.environ["PATH"]):
    command = [SCRIPT, f"--program={PROGRAM}", "--seconds=0.1", "--repetitions=1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env=os.environ | {"PATH": path})


class AgainstTestpmd(unittest.TestCase):
    def test_lines_for_each_number_of_flows(self):
        ran = run("--flows=1000,4000", "--forwarding=gue,ipip")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        lines = re.findall(LINE, ran.stdout, re.MULTILINE)
        self.assertEqual([line[:2] for line in lines],
                         [(flows, side) for flows in ("1000", "4000") for side in ("testpmd 5tswap", "gue", "ipip")])
        for theirs, first, second in (lines[:3], lines[3:]):
            rates = [float(line[2]) for line in (theirs, first, second)]
            self.assertGreater(min(rates), 0)
            self.assertEqual((theirs[3:], first[4]), (("", ""), ""))
            for line, rate in ((first, rates[1]), (second, rates[2])):
                self.assertAlmostEqual(rate / rates[0] * 100, int(line[3]), delta=0.03 * int(line[3]) + 1)
            self.assertAlmostEqual(rates[2] / rates[1] * 100, int(second[4]), delta=0.03 * int(second[4]) + 1)

    def test_over_a_cable_to_a_generator(self):
        ran = run("--over=memif", "--flows=1000", "--forwarding=dsr_l2,full_nat")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("over net_memif", ran.stdout)
        lines = re.findall(LINE, ran.stdout, re.MULTILINE)
        self.assertEqual([line[1] for line in lines], ["testpmd 5tswap", "dsr_l2", "full_nat"])
        self.assertGreater(min(float(line[2]) for line in lines), 0)

    def test_while_undisturbed_as_json(self):
        ran = run("--over=memif", "--flows=1000", "--undisturbed", "--seconds=0.5", "--json")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        (found,) = json.loads(ran.stdout)
        self.assertEqual((found["flows"], [*found["mpps"]]), (1000, ["testpmd 5tswap", "dsr_l2"]))
        self.assertTrue(all(len(rates) == 1 and rates[0] > 0 for rates in found["mpps"].values()))

    def test_an_unknown_way_of_forwarding(self):
        ran = run("--forwarding=dsr_l2,dsr_l3")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertIn("--forwarding: dsr_l3; there are dsr_l2, ipip", ran.stderr)

    def test_what_a_file_has_not(self):
        for option in ("--forwarding=nat", "--undisturbed"):
            ran = run(option)
            self.assertEqual((ran.returncode, ran.stdout), (2, ""))
            self.assertIn("--over=memif", ran.stderr)

    def test_without_testpmd(self):
        with tempfile.TemporaryDirectory() as folder:
            ran = run("--flows=1000", path=folder)
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertIn("apt-get install dpdk-dev", ran.stderr)

    def test_a_testpmd_that_does_not_start(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = pathlib.Path(folder) / "dpdk-testpmd"
            broken.write_text("#!/bin/sh\necho no memory\n")
            broken.chmod(0o755)
            ran = run("--flows=1000", path=f"{folder}:{os.environ['PATH']}")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("forwards nothing:\nno memory", ran.stderr)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
