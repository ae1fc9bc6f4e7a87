#!/usr/bin/python3
"""bench/two_workers for a moment: a table with both rates, and words when something is missing.

usage: two_workers_test.py PATH_TO_SLUICEBENCH
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "bench" / "two_workers"
PROGRAM = ""
PATIENCE = 200
LINE = r"^\| (\d+) \| ([\d.]+) \(.*?\) \| ([\d.]+) \(.*?\) \| ([\d.]+) \|$"


def run(*options):
    command = [SCRIPT, "--seconds=0.1", "--repetitions=1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


class TwoWorkers(unittest.TestCase):
    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "SKIPPED: it measures with two CPUs")
    def test_a_line_for_each_number_of_flows(self):
        ran = run(f"--program={PROGRAM}", "--flows=1000,4000", "--forwarding=gue")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        lines = re.findall(LINE, ran.stdout, re.MULTILINE)
        self.assertEqual([line[0] for line in lines], ["1000", "4000"], ran.stdout)
        for _, one, two, ratio in lines:
            self.assertGreater(float(one), 0)
            self.assertAlmostEqual(float(two) / float(one), float(ratio), delta=0.1)

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "SKIPPED: it measures with two CPUs")
    def test_every_rate_as_json(self):
        ran = run(f"--program={PROGRAM}", "--flows=1000", "--json", "--repetitions=2")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        (found,) = json.loads(ran.stdout)
        self.assertEqual((found["flows"], {side: len(rates) for side, rates in found["mpps"].items()}),
                         (1000, {"1": 2, "2": 2}))

    def test_without_the_program(self):
        ran = run("--program=/nonexistent/sluicebench")
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertIn("ninja -C build sluicebench", ran.stderr)

    def test_what_sluicebench_refuses(self):
        ran = run(f"--program={PROGRAM}", "--flows=0")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("--flows: 1 to", ran.stderr)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
