#!/usr/bin/python3
"""bench/against_testpmd for a moment: a table with both sides, and words when one of them is missing.

usage: against_testpmd_test.py PATH_TO_SLUICEBENCH
"""

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
LINE = r"^\| (\d+) \| ([\d.]+) \(.*?\) \| [\d.]+ \| ([\d.]+) \(.*?\) \| [\d.]+ \| (\d+) % \|$"


def run(*options, path=os.environ["PATH"]):
    command = [SCRIPT, f"--program={PROGRAM}", "--seconds=0.1", "--repetitions=1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env=os.environ | {"PATH": path})


class AgainstTestpmd(unittest.TestCase):
    def test_a_line_for_each_number_of_flows(self):
        ran = run("--flows=1000,4000", "--forwarding=ipip")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        lines = re.findall(LINE, ran.stdout, re.MULTILINE)
        self.assertEqual([line[0] for line in lines], ["1000", "4000"], ran.stdout)
        for _, theirs, ours, ratio in lines:
            self.assertGreater(float(theirs), 0)
            self.assertGreater(float(ours), 0)
            self.assertAlmostEqual(float(ours) / float(theirs) * 100, int(ratio), delta=10)

    def test_over_a_cable_to_a_generator(self):
        for forwarding in ("dsr_l2", "full_nat"):
            undisturbed = ["--undisturbed", "--seconds=0.5"] if forwarding == "dsr_l2" else []
            ran = run("--over=memif", "--flows=1000", f"--forwarding={forwarding}", *undisturbed)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertIn("over net_memif", ran.stdout)
            self.assertEqual("while undisturbed" in ran.stdout, bool(undisturbed))
            (flows, theirs, ours, _), = re.findall(LINE, ran.stdout, re.MULTILINE)
            self.assertEqual(flows, "1000")
            self.assertGreater(min(float(theirs), float(ours)), 0)

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
