"""Rates of the whole dpdk engine: over rings beside its floor, beside dpdk-testpmd, and with two workers."""

import json

from figures.rows import BUILD, ROOT, row, run

# (forwarding, flows)
OVER_RINGS = (("dsr_l2", 1000), ("dsr_l2", 64_000), ("dsr_l2", 1_000_000), ("dsr_l2", 10_000_000), ("ipip", 64_000),
              ("ipip", 1_000_000), ("nat", 64_000), ("nat", 1_000_000), ("full_nat", 64_000), ("full_nat", 1_000_000))
TESTPMD = "testpmd 5tswap"
# The most sessions a second that one worker opens, with room to spare; of lead-ins too.
MOST_SESSIONS = 5_000_000
LEAD_IN = 0.05


def sluicebench(runs, *options):
    """What it has measured, whose medians are over its own runs."""
    return json.loads(run([BUILD / "sluicebench", f"--seconds={runs.seconds}", f"--repetitions={runs.repetitions}",
                           "--trial_seconds=0", "--rate=0", "--json=-", *options]))


def of(said, name):
    return {"median": said[name], "min": said[f"{name}_min"], "max": said[f"{name}_max"]}


def over_rings(runs):
    rows = []
    for forwarding, flows in OVER_RINGS:
        said = sluicebench(runs, f"--forwarding={forwarding}", f"--flows={flows}")
        rows.append(beside_floor(f"{forwarding}, {flows:,} flows", said))
        if flows == 10_000_000:
            rows.append(row("engine", f"memory of {flows:,} flows", "MB", [said["table_bytes"] / 1e6]))
    return rows


def beside_floor(name, said):
    return {"group": "engine", "name": name, "unit": "ns/packet", **of(said, "ns_per_packet"),
            "beside": {"name": "floor", **of(said, "floor_ns_per_packet")},
            "ratio": said["ns_per_packet"] / said["floor_ns_per_packet"]}


def new_flows(runs):
    """New flows alone beside established ones, in turns; a flood beside established flows; new sessions."""
    rows = []
    for full in (False, True):
        said = sluicebench(runs, "--flows=64000", "--room=1000000", "--syn_flood=1",
                           f"--full_table={str(full).lower()}")
        rows.append(flooded("all new, a full table" if full else "all new", said, "flooded_mpps"))
    said = sluicebench(runs, "--flows=64000", "--room=96000", "--syn_flood=0.5", "--full_table")
    rows.append(flooded("established beside as many SYNs", said, "flooded_established_mpps"))
    rows.append(row("new_flows", "established flows whose entries those took", "flows",
                    [said["new_in_place_of_established"]]))
    room = int(runs.repetitions * (runs.seconds + LEAD_IN) * MOST_SESSIONS)
    said = sluicebench(runs, "--forwarding=full_nat", "--flows=1000", "--new_flows=1", f"--room={room}")
    return rows + [{"group": "new_flows", "name": "full_nat, all new", "unit": "Mpps", **of(said, "mpps")}]


def flooded(name, said, rate):
    return {"group": "new_flows", "name": f"dsr_l2, {name}", "unit": "Mpps", **of(said, rate),
            "beside": {"name": "established alone", **of(said, "mpps")}, "ratio": said[rate] / said["mpps"]}


def compared(script, runs, *options):
    """{flows: {side: Mpps of each run}} of one of bench/."""
    said = run([ROOT / "bench" / script, f"--seconds={runs.seconds}", f"--repetitions={runs.repetitions}", "--json",
                *options])
    return {one["flows"]: one["mpps"] for one in json.loads(said)}


def beside_testpmd(group, found):
    """Of all ways of forwarding; those behind the first one also beside that."""
    rows = []
    for flows, rates in found.items():
        first, *others = [side for side in rates if side != TESTPMD]
        for side in (first, *others):
            rows.append(row(group, f"{side}, {flows:,} flows", "Mpps", rates[side], (TESTPMD, rates[TESTPMD])))
        rows += [row(group, f"{side}, {flows:,} flows, beside {first}", "Mpps", rates[side], (first, rates[first]))
                 for side in others]
    return rows


def over_pcap(runs):
    return beside_testpmd("testpmd", compared("against_testpmd", runs, "--flows=2000,64000"))


def over_memif(runs):
    several = compared("against_testpmd", runs, "--over=memif", "--flows=64000", "--forwarding=dsr_l2,ipip,full_nat")
    more = compared("against_testpmd", runs, "--over=memif", "--flows=1000000,10000000")
    return beside_testpmd("memif", several | more)


def two_workers(runs):
    return [row("workers", f"two, {flows:,} flows each", "Mpps", rates["2"], ("one", rates["1"]))
            for flows, rates in compared("two_workers", runs, "--flows=2000,64000").items()]
