"""checks.instructions: a stage that has grown fails by its name; another compiler is not compared with."""

import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from checks import instructions  # noqa: E402
from checks.results import Results  # noqa: E402


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """What is recorded: 100 for each row."""
    path = tmp_path / "recorded.json"
    rows = dict.fromkeys(instructions.ROWS, 100.0)
    path.write_text(json.dumps({"compiler": "GCC: (Debian) 12", "instructions_per_packet": rows}))
    monkeypatch.setattr(instructions, "RECORD", path)
    monkeypatch.setattr(instructions, "compiler", lambda: "GCC: (Debian) 12")


def checked(monkeypatch, counts):
    results = Results()
    monkeypatch.setattr(instructions, "count", lambda row: {"Ir": counts.get(row, 100.0)})
    instructions.check(results)
    return results


def test_what_has_grown_is_named(monkeypatch, recorded):
    del recorded
    results = checked(monkeypatch, {"Hash/4": 102.9, "Parse/6": 103.1, "Rewrite/2": 50.0})
    assert [name for name, _ in results.failed] == ["instructions: Parse/6"]
    assert results.passed == len(instructions.ROWS) - 1


def test_another_compiler_is_said(monkeypatch, recorded):
    del recorded
    monkeypatch.setattr(instructions, "compiler", lambda: "GCC: (Debian) 14")
    results = checked(monkeypatch, {"Hash/4": 200.0})
    assert (results.passed, results.failed, len(results.skipped)) == (0, [], 1)


def test_every_row_is_recorded():
    assert set(json.loads(instructions.RECORD.read_text())["instructions_per_packet"]) == set(instructions.ROWS)
