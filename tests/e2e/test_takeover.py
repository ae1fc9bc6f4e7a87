"""The kernel goes on forwarding while nobody is in user space: after a crash, a stop, an upgrade.

   client ---- LAN ----+---- balancer (an XDP program on eth0; with dpdk, workers behind it)
                       '---- web1 web2 web3
"""

import json
import signal

import pytest
from lab import clients
from lab.network import run
from lab.process import wait_until
from lab.site import VIRTUAL, Site


@pytest.fixture
def site(lab, request, engine):
    made = Site(lab, getattr(request, "param", "dsr_l2"), engine=engine)
    made.client = made.add_client()
    made.add_backends(3)
    return made


def program(node):
    """The id of the XDP program on eth0, or None."""
    words = node.run("ip", "link", "show", "dev", "eth0").stdout.split()
    return words[words.index("prog/xdp") + 2] if "prog/xdp" in words else None


def bpftool(*words):
    """What it answers."""
    return json.loads(run(["bpftool", "-j", *words]).stdout or "null")


def maps_of(number):
    """Those of a program."""
    return [bpftool("map", "show", "id", one) for one in bpftool("prog", "show", "id", number)["map_ids"]]


END = {"a crash": lambda balancer: balancer.kill(), "a stop": lambda balancer: balancer.stop()}


@pytest.mark.parametrize("site,how", [("dsr_l2", "a crash"), ("dsr_l2", "a stop"), ("gue", "a crash")],
                         indirect=["site"])
def test_flows_go_on_without_the_daemon_and_with_the_next_one(site, how):
    """1,000 held connections and new requests all along, twice: with the daemon, without it, with the next one."""
    go_on(site, how)


@pytest.mark.parametrize("site,how", [("nat", "a stop"), ("full_nat", "a crash")], indirect=["site"])
def test_translated_flows_go_on_without_the_daemon_and_with_the_next_one(site, how):
    """The same where the kernel has the sessions too."""
    go_on(site, how)


def go_on(site, how):
    balancer = site.balancer(site.configuration(4)).start()
    held = clients.HeldConnections(site.client, VIRTUAL[4], 1_000)
    assert held.first["open"] == 1_000
    load = clients.HttpLoad(site.client, VIRTUAL[4])
    for _ in range(2):
        left = program(site.node)
        END[how](balancer)
        assert program(site.node) == left
        for running in (False, True):
            if running:
                balancer.start()
                assert program(site.node) not in (None, left)
            answer = held.ask()
            assert (answer["broken"], answer["moved"]) == ({}, 0), answer
            assert answer["spread"] == held.first["spread"]
    answer = load.stop()
    print(f"{site.engine}: {answer['requests']} requests, {answer['failed']} failed")
    assert answer["requests"] > 100 and answer["failed"] == 0, answer


def test_a_next_instance_with_other_backends_keeps_the_flows_of_those_that_stay(site):
    """The file changes while nobody runs: the slots of the connection table are dealt out anew."""
    other_backends(site)


@pytest.mark.parametrize("site", ["full_nat"], indirect=True)
def test_a_next_instance_with_other_backends_keeps_their_sessions(site):
    """The records are numbered anew."""
    other_backends(site)


def other_backends(site):
    configuration = site.configuration(4)
    balancer = site.balancer(configuration).start()
    held = clients.HeldConnections(site.client, VIRTUAL[4], 300, timeout=4)
    balancer.stop()
    removed = configuration["pools"][0]["backends"].pop(0)["name"]
    configuration["pools"][1]["backends"] = [dict(configuration["pools"][0]["backends"][0])]
    balancer.start()
    answer = held.ask()
    assert answer["moved"] == 0, answer
    stay = {name: count for name, count in held.first["spread"].items() if name != removed}
    assert {name: answer["spread"].get(name, 0) for name in stay} == stay, answer
    assert sum(answer["broken"].values()) == held.first["spread"][removed]
    assert set(clients.http_requests(site.client, VIRTUAL[4], 300)["spread"]) == set(stay)


@pytest.mark.parametrize("site", ["dsr_l2", "full_nat"], indirect=True)
def test_what_is_of_another_layout_is_not_gone_on_with(site):
    """As after an upgrade to a version with other records: it says so, and flows begin anew at once."""
    balancer = site.balancer(site.configuration(4)).start()
    held = clients.HeldConnections(site.client, VIRTUAL[4], 300, timeout=4)
    balancer.stop()
    # 15 characters of sluice_state_map; its first word is the version.
    state, = (one["id"] for one in maps_of(program(site.node)) if one["name"] == "sluice_state_ma")
    octets = bpftool("map", "lookup", "id", state, "key", "0", "0", "0", "0")["value"]
    ours = int(octets[0], 16)
    octets[0] = hex(ours + 1)
    bpftool("map", "update", "id", state, "key", "0", "0", "0", "0", "value", *octets)
    balancer.start()
    words = f"are not gone on with: it has them in layout {ours + 1}, and this version in {ours}"
    assert words in balancer.process.output(), balancer.process.tail()
    answer = clients.http_requests(site.client, VIRTUAL[4], 300)
    assert answer["failed"] == 0 and len(answer["spread"]) == 3, answer
    answer = held.ask()
    if site.forwarding == "full_nat":
        # Nobody knows where they went. What their clients send is dropped, and they end by themselves.
        assert sum(answer["broken"].values()) == 300, answer
    else:
        # The hash finds the backend that each had.
        assert (answer["broken"], answer["moved"]) == ({}, 0), answer
    # And what is new is kept again.
    held = clients.HeldConnections(site.client, VIRTUAL[4], 300, timeout=5)
    balancer.stop()
    balancer.start()
    assert "not gone on with" not in balancer.process.output()
    answer = held.ask()
    assert (answer["broken"], answer["moved"]) == ({}, 0), answer


@pytest.mark.parametrize("forwarding", ["dsr_l2", "full_nat"])
def test_a_next_instance_with_another_number_of_queues_keeps_the_flows(lab, engine, forwarding):
    """One queue (with dpdk: and one worker), then two, then one again; weights change with each, so that flows that
    nobody knows would move."""
    site = Site(lab, forwarding, queues=2, engine=engine)
    site.client = site.add_client()
    site.add_backends(3)
    configuration = site.configuration(4)
    backends = configuration["pools"][0]["backends"]
    balancer = site.balancer(configuration)

    def start(queues, weight):
        # The far end sends by no more queues than the near one receives on.
        for node, name in ((site.lan, "balancer"), (site.node, "eth0"))[:: 1 if queues == 1 else -1]:
            node.run("ethtool", "-L", name, "rx", str(queues), "tx", str(queues))
        if engine == "dpdk":
            configuration["engine"]["workers"] = queues
        backends[0]["weight"] = weight
        balancer.start()

    start(1, 1)
    held = clients.HeldConnections(site.client, VIRTUAL[4], 300)
    for queues, weight in ((2, 50), (1, 1)):
        balancer.stop()
        start(queues, weight)
        answer = held.ask()
        assert (answer["broken"], answer["moved"]) == ({}, 0), answer
        assert answer["spread"] == held.first["spread"]


def test_detach_by_command(site):
    """Refused while it runs; afterwards nobody forwards, and nothing is left."""
    balancer = site.balancer(site.configuration(4)).start()
    told = balancer.command("--detach")
    assert told.returncode == 1 and "in use by another sluiced" in told.stderr, told
    assert clients.http_requests(site.client, VIRTUAL[4], 30)["failed"] == 0
    balancer.stop()
    assert clients.http_requests(site.client, VIRTUAL[4], 30)["failed"] == 0
    assert "eth0: detached" in balancer.command("--detach", check=True).stdout
    assert program(site.node) is None
    assert clients.http_requests(site.client, VIRTUAL[4], 1, timeout=1)["failed"] == 1
    assert "eth0: nothing" in balancer.command("--detach", check=True).stdout


def test_detach_at_the_end_when_the_file_says_so(site):
    configuration = site.configuration(4)
    configuration["engine"]["shutdown"] = "detach"
    balancer = site.balancer(configuration).start()
    assert clients.http_requests(site.client, VIRTUAL[4], 30)["failed"] == 0
    balancer.stop()
    assert program(site.node) is None
    site.client.run("ping", "-q", "-c", "1", "-W", "2", site.address(4))


@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
@pytest.mark.parametrize("site", ["dsr_l2", "nat", "full_nat"], indirect=True)
def test_a_worker_that_hangs_is_passed_by(site):
    """Stopped by a signal, with its sockets open: the kernel forwards until it goes on, twice."""
    balancer = site.balancer(site.configuration(4)).start()
    held = clients.HeldConnections(site.client, VIRTUAL[4], 1_000)
    load = clients.HttpLoad(site.client, VIRTUAL[4])
    for times in (1, 2):
        balancer.process.signal(signal.SIGSTOP)
        for _ in range(2):
            answer = held.ask()
            assert (answer["broken"], answer["moved"]) == ({}, 0), answer
        balancer.process.signal(signal.SIGCONT)
        wait_until(lambda: f"(the {times}. time)" in balancer.process.output(), lambda: balancer.process.tail())
        answer = held.ask()
        assert (answer["broken"], answer["moved"]) == ({}, 0), answer
    assert "warning sluiced: eth0 queue 0: its worker gave no sign of life" in balancer.process.output()
    answer = load.stop()
    print(f"{answer['requests']} requests, {answer['failed']} failed")
    # A SYN that waited in the ring is thrown away, and comes again after a second.
    assert answer["requests"] > 1 and answer["failed"] == 0, answer
