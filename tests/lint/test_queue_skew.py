"""bench/queue_skew: the hash is the NICs' own, and an even share is 1."""

import importlib.machinery
import importlib.util
import ipaddress
import pathlib
import random
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent.parent / "bench/queue_skew"
LOADER = importlib.machinery.SourceFileLoader("queue_skew", str(SCRIPT))
SKEW = importlib.util.module_from_spec(importlib.util.spec_from_loader("queue_skew", LOADER))
LOADER.exec_module(SKEW)


def run(*options):
    return subprocess.run([SCRIPT, *options], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("source, source_port, destination, destination_port, value", [
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51CCC178),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xC626B0EA),
    ("24.19.198.95", 12898, "12.22.207.184", 38024, 0x5C2B394A),
])
def test_hashes_of_the_specification(source, source_port, destination, destination_port, value):
    assert SKEW.rss_hash(int(ipaddress.ip_address(source)), int(ipaddress.ip_address(destination)), source_port,
                         destination_port) == value


@pytest.mark.parametrize("law", ["even", "zipf", "elephant"])
def test_rates_are_all_packets(law):
    assert sum(SKEW.rates(law, 100)) == pytest.approx(1)


def test_an_elephant_has_a_tenth():
    assert max(SKEW.rates("elephant", 1000)) == pytest.approx(0.1)


def test_the_busiest():
    assert SKEW.busiest([0.25] * 4, [0, 1, 2, 3], 2) == 1
    assert SKEW.busiest([0.25] * 4, [0, 1, 2, 5], 2) == 1
    assert SKEW.busiest([0.25] * 4, [0, 2, 4, 1], 2) == 1.5
    loads = SKEW.simulate("even", 50, [1], 3, random.Random(1))
    assert loads == {1: [pytest.approx(1)] * 3}


def test_table():
    ran = run("--queues=1,4", "--flows=5", "--trials=3")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[2] == "| flows | | 1 queues | 4 queues |"
    assert [line.split(" | ")[:3] for line in lines[4:]] == [
        ["| 5", law, "1.00 (1.00)"] for law in ("even", "zipf", "elephant")]
    assert run("--queues=1,4", "--flows=5", "--trials=3").stdout == ran.stdout


def test_numbers_that_mean_nothing():
    for option in ("--queues=0", "--queues=129", "--flows=0", "--trials=0"):
        assert run(option).returncode == 2
