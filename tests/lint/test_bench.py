"""tools/bench: table and charts of figures that are given, rows from what the programs say, and what it refuses."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from checks import instructions  # noqa: E402
from figures import engine, goals, groups, machine, model, peers, rows, table  # noqa: E402

FIGURES = pathlib.Path(__file__).with_name("figures.json")
TABLE = """\
Median of 7 runs in turns (least to most), 0.5 s each.

| machine | |
|---|---|
| cpu | a CPU, family 1, model 2 |
| kernel | Linux 6.1 |

### path: stages of the path and whole bursts, natively
| | ns a packet, or as it says | beside it | ratio |
|---|---|---|---|
| Floor/4 | 6.00 (5.90 to 6.20) |  |  |
| BurstDsrL2/10000000 | 24.0 (23.0 to 30.0) | Floor/4: 6.00 (5.90 to 6.20) | 4.00 |
| BurstDsrL2/1000 | 15.0 (14.0 to 16.0) | Floor/4: 6.00 (5.90 to 6.20) | 2.50 |
| FullNatForward/1000 | 21.0 (20.0 to 22.0) | Floor/4: 6.00 (5.90 to 6.20) | 3.50 |

### maglev: one pool's table, CPU time
| | ns a packet, or as it says | beside it | ratio |
|---|---|---|---|
| BuildTable/entries:65537/backends:10/weights:1 | 1,234 (0.12 to 2,000) ms |  |  |

### engine: the whole dpdk engine over rings, beside its floor
| | ns a packet, or as it says | beside it | ratio |
|---|---|---|---|
| full_nat, 1,000,000 flows | 125 (120 to 130) | floor: 50.0 (49.0 to 51.0) | 2.50 |
| memory of 10,000,000 flows | 120 (120 to 120) MB |  |  |
"""


def bench(*options, environment=None):
    return subprocess.run([ROOT / "tools/bench", *options], capture_output=True, text=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL, env=os.environ | (environment or {}))


def draw(folder):
    ran = bench(f"--draw={FIGURES}", f"--output={folder}")
    assert ran.returncode == 0, ran.stderr
    return ran


def words_of(path):
    """What can be read in a chart."""
    return ["".join(text.itertext()).strip() for text in xml.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_table(tmp_path):
    ran = draw(tmp_path)
    assert ran.stdout == TABLE + "\n"
    assert (tmp_path / "figures.md").read_text() == TABLE
    assert json.loads((tmp_path / "figures.json").read_text()) == json.loads(FIGURES.read_text())


def test_charts_say_what_there_is(tmp_path):
    draw(tmp_path)
    flows = words_of(tmp_path / "flows.svg")
    assert [word for word in flows if word in ("floor", "dsr_l2", "nat", "full_nat", "new flows")] == \
        ["floor", "dsr_l2", "full_nat"]
    assert {"1k", "10M", "flows", "ns a packet"} <= set(flows)
    rates = words_of(tmp_path / "engine.svg")
    assert {"full_nat, 1M", "engine", "floor", "Mpps"} <= set(rates)
    # 8 beside 20 Mpps.
    assert "20" in rates
    assert not [word for word in rates if "memory" in word]


def test_charts_show_the_figures(tmp_path):
    """More time is higher up, whatever the order of the rows."""
    draw(tmp_path)
    text = (tmp_path / "flows.svg").read_text()
    series = text[text.index("<text>dsr_l2</text>"):text.index("<text>full_nat</text>")]
    marks = re.findall(r"<use xlink:href='#gpPt6' transform='translate\(([\d.]+),([\d.]+)\)", series)
    (left, low), (right, high) = [(float(x), float(y)) for x, y in marks[:2]]
    assert left < right and low > high


def test_the_same_figures_make_the_same_charts(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path / name)
    for chart in ("flows.svg", "engine.svg"):
        assert (tmp_path / "a" / chart).read_bytes() == (tmp_path / "b" / chart).read_bytes()


def test_charts_in_the_docs_are_those_of_their_figures(tmp_path):
    docs = ROOT / "docs/figures"
    ran = bench(f"--draw={docs}/figures.json", f"--output={tmp_path}")
    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in docs.iterdir()}
    assert (tmp_path / "figures.md").read_text() == (docs / "figures.md").read_text()


@pytest.mark.parametrize("content", ["", "[]", '{"rows": []}', '{"machine": {}, "rows": 3}'])
def test_what_is_no_figures_is_refused(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    ran = bench(f"--draw={path}", f"--output={tmp_path}/out")
    assert ran.returncode == 1 and f"bench: {path} has no figures of tools/bench" in ran.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_benchmark_is_refused():
    ran = bench("--only=path,magle")
    assert ran.returncode == 2
    assert f"no benchmark is called magle; there are {', '.join(groups.GROUPS)}" in ran.stderr
    assert {"path", "xdp", "engine", "new_flows", "testpmd", "memif", "workers"} <= set(groups.GROUPS)


def test_without_gnuplot(tmp_path):
    ran = subprocess.run([sys.executable, "-B", ROOT / "tools/bench", f"--draw={FIGURES}", f"--output={tmp_path}"],
                         capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)})
    assert ran.returncode == 1 and "apt-get install gnuplot-nox" in ran.stderr


def test_all_that_is_missing_is_said_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(rows, "BUILD", tmp_path)
    monkeypatch.setattr(groups.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(groups.shutil, "which", lambda command: None)
    words = [word for name in ("xdp", "testpmd") for word in groups.GROUPS[name].missing()]
    assert words == ["xdp: build/bench/xdp_bench is not built; run: ninja -C build bench/xdp_bench",
                     "xdp: it loads BPF programs, which needs root; run with sudo, or choose others with --only",
                     "testpmd: build/sluicebench is not built; run: ninja -C build sluicebench",
                     "testpmd: no dpdk-testpmd; apt-get install dpdk-dev"]


def test_one_that_fails_leaves_the_others(monkeypatch, tmp_path, capsys):
    loader = importlib.machinery.SourceFileLoader("bench", str(ROOT / "tools/bench"))
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
    loader.exec_module(tool)

    def fails(runs):
        raise rows.Failed("no packets")

    made = {name: groups.Group(name, "what", "", measure) for name, measure in
            (("bad", fails), ("good", lambda runs: [rows.row("good", "a", "ms", [float(runs.repetitions)])]))}
    monkeypatch.setattr(tool, "GROUPS", made)
    monkeypatch.setattr(tool, "SECTIONS", {name: group.what for name, group in made.items()})
    monkeypatch.setattr(sys, "argv", ["bench", "--repetitions=3", f"--output={tmp_path}"])
    with pytest.raises(SystemExit, match="bench: the rest is measured, but not these:\nbad: no packets"):
        tool.main()
    assert "| a | 3.00 (3.00 to 3.00) ms |" in capsys.readouterr().out
    assert [row["name"] for row in json.loads((tmp_path / "figures.json").read_text())["rows"]] == ["a"]


def program(monkeypatch, tmp_path, benchmarks):
    """A Google Benchmark that has measured these."""
    monkeypatch.setattr(rows, "BUILD", tmp_path)
    script = tmp_path / "some_bench"
    script.write_text("#!/bin/sh\nfor word; do case $word in --benchmark_out=*) cat >${word#*=} <<'EOF'\n"
                      f"{json.dumps({'benchmarks': benchmarks})}\nEOF\n;; esac; done\n")
    script.chmod(0o755)


def measured(name, index, **values):
    return {"name": f"{name}/manual_time", "run_name": f"{name}/manual_time", "run_type": "iteration",
            "family_index": 0, "per_family_instance_index": index, "time_unit": "ms", **values}


def test_rows_of_a_benchmark_in_its_order(monkeypatch, tmp_path):
    mean = measured("B/2", 1, real_time=99, build=99) | {"run_type": "aggregate"}
    program(monkeypatch, tmp_path, [measured("B/2", 1, real_time=3, build=2), measured("B/1", 0, real_time=1, build=1),
                                    measured("B/2", 1, real_time=5, build=4), measured("B/1", 0, real_time=2, build=1),
                                    measured("B/2", 1, real_time=4, build=1), measured("B/1", 0, real_time=9, build=1),
                                    mean])
    made = groups.timed("some", rows.google("some_bench", rows.Runs(3, 0.1)), "real_time", ("build", "publish"))
    assert [(row["name"], row["unit"], row["min"], row["median"], row["max"]) for row in made] == [
        ("B/1", "ms", 1, 2, 9), ("B/1, build", "ms", 1, 1, 1), ("B/2", "ms", 3, 4, 5), ("B/2, build", "ms", 1, 2, 4)]


def test_a_row_that_failed_is_an_error(monkeypatch, tmp_path):
    program(monkeypatch, tmp_path, [measured("B/1", 0, error_occurred=True, error_message="not all were forwarded")])
    with pytest.raises(rows.Failed, match="some_bench, B/1/manual_time: not all were forwarded"):
        rows.google("some_bench", rows.Runs(1, 0.1))


def test_rates_beside_testpmd_and_the_first_way_of_forwarding():
    found = {64000: {"testpmd 5tswap": [20.0, 10.0, 25.0], "dsr_l2": [10.0, 12.0, 8.0], "ipip": [9.0, 8.0, 4.0]}}
    made = engine.beside_testpmd("memif", found)
    assert made[0] == {"group": "memif", "name": "dsr_l2, 64,000 flows", "unit": "Mpps", "median": 10, "min": 8,
                       "max": 12, "ratio": 0.5,
                       "beside": {"name": "testpmd 5tswap", "median": 20, "min": 10, "max": 25}}
    assert [(row["name"], row["ratio"]) for row in made[1:]] == [("ipip, 64,000 flows", 0.4),
                                                                 ("ipip, 64,000 flows, beside dsr_l2", 0.8)]


def said(**medians):
    return {key: value for name, median in medians.items() for key, value in
            ((name, median), (f"{name}_min", median / 2), (f"{name}_max", median * 2))}


def test_new_flows_are_told_beside_established_ones(monkeypatch):
    asked = []

    def sluicebench(_runs, *options):
        asked.append(options)
        return said(mpps=20.0, flooded_mpps=8.0, flooded_established_mpps=5.0, new_in_place_of_established=3)

    monkeypatch.setattr(engine, "sluicebench", sluicebench)
    made = {row["name"]: row for row in engine.new_flows(rows.Runs(7, 0.1))}
    assert made["dsr_l2, all new"]["ratio"] == made["dsr_l2, all new, a full table"]["ratio"] == 0.4
    assert made["dsr_l2, established beside as many SYNs"]["median"] == 5
    assert made["established flows whose entries those took"]["median"] == 3
    assert (made["full_nat, all new"]["min"], made["full_nat, all new"]["max"]) == (10, 40)
    # Two million a second in seven runs and more.
    assert "--room=5250000" in asked[-1]
    assert goals.add(list(made.values()), ["new_flows"]) == []


def test_the_kernels_figures_beside_those_that_are_listed():
    def ones(ns, reference, **peer):
        return [{"ns": ns, "reference": reference, **peer}] * 3

    made = peers.made({"established/ipip/ipv4/tcp/flows:64000/room:1000000": ones(100, 250, peer=200),
                       "established/nat/ipv4/tcp/flows:64000/room:1000000": ones(300, 350),
                       "not_ours/ipv4": ones(10, 11, peer=40)})
    listed = {row["name"]: row for row in made if row["group"] == "peers"}
    assert [(name, row.get("ratio")) for name, row in listed.items()] == [
        ("established/ipip/ipv4/tcp/flows:64000/room:1000000", 0.5), ("not_ours/ipv4", 0.25), (peers.REFERENCE, None)]
    # What the machine has in it: its LRU hash takes a quarter more than is listed.
    assert listed[peers.REFERENCE]["median"] == 1.25
    assert [row["name"] for row in made if row["group"] == "xdp"] == [
        "established/ipip/ipv4/tcp/flows:64000/room:1000000", "established/nat/ipv4/tcp/flows:64000/room:1000000",
        "not_ours/ipv4"]


def test_the_model_has_instructions_and_lines_of_each_stage():
    made = model.made({"Hash/4": {"Ir": 40.0, "D1mr": 0.5, "D1mw": 0.25}})
    assert [(row["name"], row["unit"], row["median"]) for row in made] == [
        ("Hash/4", "instructions", 40), ("Hash/4, lines", "cache lines", 0.75)]


def a_program_that_counts(folder, dump):
    """Stands in for valgrind: writes what callgrind would."""
    script = folder / "valgrind"
    script.write_text("#!/bin/sh\nfor word; do case $word in --callgrind-out-file=*) cat > ${word#*=}.1 <<'EOF'\n"
                      f"{dump}\nEOF\n;; esac; done\n")
    script.chmod(0o755)


def test_events_of_a_packet(monkeypatch, tmp_path):
    packets = 10 * instructions.BURST
    a_program_that_counts(tmp_path, "desc: Trigger: Client Request: 10 iterations\nevents: Ir Dr D1mr D1mw\n"
                                    f"totals: {20 * packets} {3 * packets} {packets}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert instructions.count("Hash/4") == {"Ir": 20, "Dr": 3, "D1mr": 1, "D1mw": 0}


def kernel_row(group, name, ratio):
    return rows.row(group, name, "ns/packet", [ratio * 100.0], ("listed", [100.0]))


def test_what_is_asked_for():
    made = [kernel_row("peers", "new/ipip/ipv4/tcp/full", 0.34), kernel_row("peers", "new/ipip/ipv4/tcp/fresh", 0.34),
            kernel_row("peers", "established/ipip/ipv4/tcp/flows:64000/room:128000", 0.34),
            kernel_row("peers", "established/ipip/ipv4/tcp/flows:1000000/room:2000000", 0.9),
            kernel_row("xdp", "established/nat/ipv4/tcp/flows:64000/room:1000000", 0.69),
            kernel_row("xdp", "established/nat/ipv4/tcp/flows:1000/room:1000000", 0.9),
            rows.row("new_flows", "dsr_l2, all new", "Mpps", [4.0], ("established alone", [7.0]))]
    missing = goals.add(made, ["memif", "peers"])
    assert "memif: no row is called dsr_l2, 64,000 flows, of which something is asked" in missing
    assert [goals.holds(row) if "asked" in row else None for row in made] == \
        [False, True, False, None, True, None, False]
    text = table.markdown({"repetitions": 7, "seconds": 1, "machine": {}, "rows": made}, groups.SECTIONS, groups.NOTES)
    lines = text.splitlines()
    assert "| new_flows: dsr_l2, all new | 4.00 Mpps, 0.57 of established alone | at least 0.50, at least 5.00 Mpps " \
        "| **no** |" in lines
    assert "| peers: new/ipip/ipv4/tcp/fresh | 34.0 ns/packet, 0.34 of listed | at most 0.50 | yes |" in lines
    assert peers.NOTE in lines


def test_the_machine_is_described():
    said = machine.describe()
    assert all(said.values())
    assert said["kernel"] == f"Linux {os.uname().release}"
    assert re.fullmatch(r"L1d \S+, .*", said["caches of a core"])
