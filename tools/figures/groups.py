"""The benchmarks: what each needs, how it is run, and the rows that come out.

A row is {"group", "name", "unit", "median", "min", "max"}, and where something else was measured in turns with it,
{"beside": {"name", "median", "min", "max"}, "ratio"}, the ratio being of the medians.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
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


@dataclasses.dataclass(frozen=True)
class Group:
    name: str
    what: str
    program: str
    # (Runs) -> rows
    measure: object
    root: bool = False
    # Commands that it wants besides, and where they come from.
    commands: tuple = ()

    def missing(self):
        """Words for what it lacks; empty when it can be run."""
        lacks = []
        if not (BUILD / self.program).exists():
            lacks.append(f"build/{self.program} is not built; run: ninja -C build {self.program}")
        if self.root and os.geteuid() != 0:
            lacks.append("it loads BPF programs, which needs root; run with sudo, or choose others with --only")
        lacks += [f"no {command}; apt-get install {package}" for command, package in self.commands
                  if shutil.which(command) is None]
        return [f"{self.name}: {words}" for words in lacks]


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


def path(runs):
    """Stages and bursts; each beside the floor of its IP version."""
    found = {name: [one["ns/packet"] for one in ones] for name, ones in google("bench/path_bench", runs).items()}
    rows = []
    for name, values in found.items():
        floor = "Floor/6" if "Ipv6" in name else "Floor/4"
        beside = (floor, found[floor]) if "/" in name and not name.startswith(("Floor", "Parse", "Hash")) else None
        rows.append(row("path", name, "ns/packet", values, beside))
    return rows


# Of all ways of forwarding, those that tell the rest: TCP over IPv4, tunnelled and translated.
XDP_ROWS = "^established/(ipip|nat)/ipv4/tcp/|^new/[a-z0-9_]+/ipv4/tcp/"


def xdp(runs):
    """Rounds of the engine, its reference and the empty wrapper are in turns inside of each repetition."""
    found = google("bench/xdp_bench", runs, XDP_ROWS, interleaved=False)
    return [row("xdp", name, "ns/packet", [one["ns"] for one in ones], ("LRU hash", [one["reference"] for one in ones]))
            for name, ones in found.items()]


def times(group, program, value, parts=()):
    """Of a benchmark whose rows are times, of the clock (`real_time`) or, where one thread computes, of its CPU
    (`cpu_time`); counters that are parts of them have rows of their own.
    """
    def measure(runs):
        rows = []
        for name, ones in google(program, runs).items():
            rows.append(row(group, name, ones[0]["time_unit"], [one[value] for one in ones]))
            rows += [row(group, f"{name}, {part}", "ms", [one[part] for one in ones]) for part in parts if
                     part in ones[0]]
        return rows
    return measure


# (forwarding, flows, share of new ones)
ENGINE_ROWS = (("dsr_l2", 1000, 0), ("dsr_l2", 64_000, 0), ("dsr_l2", 1_000_000, 0), ("dsr_l2", 10_000_000, 0),
               ("ipip", 64_000, 0), ("ipip", 1_000_000, 0), ("nat", 64_000, 0), ("nat", 1_000_000, 0),
               ("full_nat", 64_000, 0), ("full_nat", 1_000_000, 0), ("dsr_l2", 64_000, 1))


def engine(runs):
    rows = []
    for forwarding, flows, new in ENGINE_ROWS:
        said = json.loads(run([BUILD / "sluicebench", f"--forwarding={forwarding}", f"--flows={flows}",
                               f"--new_flows={new}", f"--seconds={runs.seconds}", "--json=-",
                               f"--repetitions={runs.repetitions}", "--trial_seconds=0", "--rate=0"]))
        name = f"{forwarding}, {flows:,} flows" + (", all new" if new else "")
        rows.append(engine_row(name, said))
        if flows == 10_000_000:
            rows.append(row("engine", f"memory of {flows:,} flows", "MB", [said["table_bytes"] / 1e6]))
    return rows


def engine_row(name, said):
    """Of what sluicebench has measured, whose medians are over its own runs."""
    def figures(prefix):
        return {"median": said[f"{prefix}ns_per_packet"], "min": said[f"{prefix}ns_per_packet_min"],
                "max": said[f"{prefix}ns_per_packet_max"]}
    return {"group": "engine", "name": name, "unit": "ns/packet", **figures(""),
            "beside": {"name": "floor", **figures("floor_")},
            "ratio": said["ns_per_packet"] / said["floor_ns_per_packet"]}


TESTPMD_LINE = r"^\| (\d+) \| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \| [\d.]+ \| ([\d.]+) \(([\d.]+) to ([\d.]+)\)"


def testpmd(runs):
    said = run([ROOT / "bench/against_testpmd", f"--seconds={runs.seconds}", f"--repetitions={runs.repetitions}"])
    return testpmd_rows(said)


def testpmd_rows(table):
    """Its Mpps as ns a packet: the most packets are the least time."""
    rows = []
    for flows, *rates in re.findall(TESTPMD_LINE, table, re.MULTILINE):
        theirs, ours = [[1e3 / float(rate) for rate in rates[begin:begin + 3]] for begin in (0, 3)]
        rows.append(row("testpmd", f"dsr_l2, {int(flows):,} flows", "ns/packet", ours, ("5tswap", theirs)))
    if not rows:
        raise Failed(f"against_testpmd has no line of figures:\n{table}")
    return rows


GROUPS = {group.name: group for group in (
    Group("path", "stages of the path and whole bursts, natively", "bench/path_bench", path),
    Group("xdp", "the engine in the kernel, beside an LRU hash", "bench/xdp_bench", xdp, root=True),
    Group("maglev", "one pool's table, CPU time", "bench/maglev_bench",
          times("maglev", "bench/maglev_bench", "cpu_time")),
    Group("builder", "desired state to tables, CPU time", "bench/builder_bench",
          times("builder", "bench/builder_bench", "cpu_time")),
    Group("publish", "a change until workers and kernel have it", "bench/publish_bench",
          times("publish", "bench/publish_bench", "real_time", ("build", "publish", "grace")), root=True),
    Group("engine", "the whole dpdk engine over rings, beside its floor", "sluicebench", engine),
    Group("testpmd", "the whole dpdk engine beside dpdk-testpmd", "sluicebench", testpmd,
          commands=(("dpdk-testpmd", "dpdk-dev"),)),
)}
