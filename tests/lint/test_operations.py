"""docs/operations.md and config/sluiced.service say what the tree has: reasons, flags, totals."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GUIDE = (ROOT / "docs/operations.md").read_text()
FLAGS = set(re.findall(r"DEFINE_\w+\(\s*(\w+),", (ROOT / "src/sluiced/main.cc").read_text()))


def test_every_verdict_is_in_the_table():
    becomes = {"TRANSMIT": "sent", "PASS": "to the kernel", "DROP": "dropped"}
    listed = re.findall(r'X\((\w+),\s+(\w+), "(.*)"\)', (ROOT / "include/sluice/verdict.h").read_text())
    assert len(listed) > 20
    rows = [f"| `{name}` | {becomes[kind]} | {text} |" for name, kind, text in listed]
    table = GUIDE[GUIDE.index("| name | becomes | |"):].splitlines()[2:]
    assert table == rows


def test_every_flag_of_sluiced_is_in_the_guide():
    assert FLAGS and set(re.findall(r"^\| `--(\w+)`", GUIDE, re.MULTILINE)) == FLAGS


def test_the_unit_uses_flags_that_there_are():
    unit = (ROOT / "config/sluiced.service").read_text()
    used = {flag for line in unit.splitlines() if line.startswith("Exec") for flag in re.findall(r"--(\w+)", line)}
    assert used and used <= FLAGS


def test_every_total_is_in_the_guide():
    table = re.search(r"kOthers\[\] = \{(.*?)\n\};", (ROOT / "src/control/totals.cc").read_text(), re.DOTALL).group(1)
    names = re.findall(r'^    \{"(\w+)"', table, re.MULTILINE)
    assert len(names) > 5
    for name in names:
        assert f"| `{name}` |" in GUIDE, name
