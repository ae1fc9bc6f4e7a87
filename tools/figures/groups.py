"""The benchmarks: what each needs, how it is run, and the rows that come out."""

import dataclasses
import os
import shutil

from figures import engine, model, peers, rows
from figures.rows import google, row


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
        if not (rows.BUILD / self.program).exists():
            lacks.append(f"build/{self.program} is not built; run: ninja -C build {self.program}")
        if self.root and os.geteuid() != 0:
            lacks.append("it loads BPF programs, which needs root; run with sudo, or choose others with --only")
        lacks += [f"no {command}; apt-get install {package}" for command, package in self.commands
                  if shutil.which(command) is None]
        return [f"{self.name}: {words}" for words in lacks]


def path(runs):
    """Stages and bursts; each beside the floor of its IP version."""
    # What is timed is less than half of what a row takes: packets are laid out between.
    half = dataclasses.replace(runs, seconds=runs.seconds / 2)
    found = {name: [one["ns/packet"] for one in ones] for name, ones in google("bench/path_bench", half).items()}
    made = []
    for name, values in found.items():
        floor = "Floor/6" if "Ipv6" in name else "Floor/4"
        beside = (floor, found[floor]) if "/" in name and not name.startswith(("Floor", "Parse", "Hash")) else None
        made.append(row("path", name, "ns/packet", values, beside))
    return made


def timed(group, found, value, parts=()):
    """Of a benchmark whose rows are times, of the clock (`real_time`) or, where one thread computes, of its CPU
    (`cpu_time`); counters that are parts of them have rows of their own.
    """
    made = []
    for name, ones in found.items():
        made.append(row(group, name, ones[0]["time_unit"], [one[value] for one in ones]))
        made += [row(group, f"{name}, {part}", "ms", [one[part] for one in ones]) for part in parts if part in ones[0]]
    return made


def times(group, program):
    return lambda runs: timed(group, google(program, runs), "cpu_time")


def publish(runs):
    """A change is seen when it is published: the grace period comes behind that."""
    return timed("publish", google("bench/publish_bench", runs), "real_time", ("build", "publish", "grace"))


TESTPMD = (("dpdk-testpmd", "dpdk-dev"),)
GROUPS = {group.name: group for group in (
    Group("path", "stages of the path and whole bursts, natively", "bench/path_bench", path),
    Group("model", "what a packet takes of each stage: instructions, cache lines from beyond the first level",
          "bench/path_bench", model.count, commands=(("valgrind", "valgrind"),)),
    Group("xdp", "the engine in the kernel, beside an LRU hash", "bench/xdp_bench", peers.xdp, root=True),
    Group("maglev", "one pool's table, CPU time", "bench/maglev_bench",
          times("maglev", "bench/maglev_bench")),
    Group("builder", "desired state to tables, CPU time", "bench/builder_bench",
          times("builder", "bench/builder_bench")),
    Group("publish", "a change until workers and kernel have it", "bench/publish_bench", publish, root=True),
    Group("engine", "the whole dpdk engine over rings, beside its floor", "sluicebench", engine.over_rings),
    Group("new_flows", "new flows and floods, the whole dpdk engine over rings", "sluicebench", engine.new_flows),
    Group("testpmd", "the whole dpdk engine beside dpdk-testpmd over net_pcap", "sluicebench", engine.over_pcap,
          commands=TESTPMD),
    Group("memif", "the same over net_memif, from a generator on another CPU", "sluicebench", engine.over_memif,
          commands=TESTPMD),
    Group("workers", "two workers beside one, each with a file of packets", "sluicebench", engine.two_workers),
)}
# Of the table: what each benchmark measures, and rows that one of them has besides.
SECTIONS = {name: group.what for name, group in GROUPS.items()} | {
    "peers": "the engine in the kernel, beside what is listed of the best-known XDP balancer"}
NOTES = {"peers": peers.NOTE}
