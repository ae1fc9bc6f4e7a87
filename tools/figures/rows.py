"""Rows of figures, and how the programs that measure them are run.

A row is {"group", "name", "unit", "median", "min", "max"}, and where something else was measured in turns with it,
{"beside": {"name", "median", "min", "max"}, "ratio"}, the ratio being of the medians; where a figure is asked for, also
{"asked"} (goals.py).
"""

import dataclasses
import json
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"


class Failed(Exception):
    """Words for people."""


@dataclasses.dataclass(frozen=True)
class Runs:
    """How often, and for how long each time."""
    repetitions: int
    seconds: float


def run(command):
    """Its output. What it says besides is for the error."""
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                         cwd=ROOT, check=False)
    if ran.returncode != 0:
        raise Failed(f"{pathlib.Path(str(command[0])).name} ended with {ran.returncode}:\n"
                     f"{(ran.stderr or ran.stdout).strip()[-2000:]}")
    return ran.stdout


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def row(group, name, unit, values, beside=None):
    """`beside`: (name, values)"""
    made = {"group": group, "name": name, "unit": unit, **spread(values)}
    if beside is not None:
        made |= {"beside": {"name": beside[0], **spread(beside[1])}}
        made |= {"ratio": made["median"] / made["beside"]["median"]}
    return made


def google(program, runs, rows=".", interleaved=True):
    """{row: [{counter: value} of each repetition]}, in the program's order; a row that failed is an error."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        run([BUILD / program, f"--benchmark_filter={rows}", f"--benchmark_repetitions={runs.repetitions}",
             f"--benchmark_min_time={runs.seconds}", f"--benchmark_out={file.name}", "--benchmark_out_format=json",
             f"--benchmark_enable_random_interleaving={'true' if interleaved else 'false'}"])
        said = json.loads(pathlib.Path(file.name).read_text(encoding="utf-8"))["benchmarks"]
    found = {}
    for one in said:
        if one.get("error_occurred"):
            raise Failed(f"{program}, {one['name']}: {one['error_message']}")
        if one["run_type"] == "iteration":
            found.setdefault(one["run_name"].removesuffix("/manual_time"), []).append(one)
    if not found:
        raise Failed(f"{program} has no row that matches {rows}")
    ordered = sorted(found.items(), key=lambda item: (item[1][0]["family_index"],
                                                      item[1][0]["per_family_instance_index"]))
    return dict(ordered)
