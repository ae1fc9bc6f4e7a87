"""Algorithms beside each other, with one server that is slower than the others.

   client ==== LAN ====+==== balancer (== two queues, two workers)
                       '---- web1 (slow) web2 web3        SLOW_PORT: what the test asks, and its health checks
"""

import json

import pytest
from lab import clients, servers
from lab.process import best_of_three, wait_until
from lab.site import VIRTUAL, Site

# Seconds that an answer takes: web1's, the others'.
SLOW, FAST = 0.25, 0.005
REQUESTS, CONCURRENCY = 900, 24
CHECK = {"type": "http", "port": servers.SLOW_PORT, "interval": "500ms", "timeout": "450ms"}


def slow_site(lab, engine, forwarding="dsr_l2"):
    """(balancer, client) with three servers, the first one slow."""
    site = Site(lab, forwarding, queues=2, engine=engine)
    client = site.add_client()
    for backend in site.add_backends(3):
        servers.slow(backend.node, SLOW if backend.name == "web1" else FAST)
    made = site.configuration(workers=2)
    made["listeners"][0]["ports"] = [servers.SLOW_PORT]
    made["pools"][0].update(health_check=CHECK, algorithm="round_robin")
    balancer = site.balancer(made).start()
    wait_until(lambda: balancer.process.output().count(": healthy") >= 3, "all servers to be healthy")
    return balancer, client


def choose(balancer, algorithm):
    balancer.configuration["pools"][0]["algorithm"] = algorithm
    assert "generation=" in balancer.reload()


def measure(client, algorithm, requests=REQUESTS):
    """What so many requests get: {"spread", "seconds"}."""
    answer = clients.http_requests(client, VIRTUAL[4], requests, port=servers.SLOW_PORT, concurrency=CONCURRENCY)
    assert answer["failed"] == 0, answer
    print(f"{algorithm}: {answer['spread']} in {answer['seconds']} s")
    return answer


@pytest.mark.alone
@pytest.mark.parametrize("forwarding", ("dsr_l2", "nat"))
def test_a_slow_server_gets_less_from_those_that_look_at_load(lab, engine, forwarding):
    balancer, client = slow_site(lab, engine, forwarding)
    turns = measure(client, "round_robin")
    # Each worker goes its own rounds.
    assert abs(turns["spread"]["web1"] - REQUESTS / 3) <= 4, turns
    choose(balancer, "least_connections")
    # That the slow server has got through its own is known with the next sweep.
    wait_until(lambda: "web1" in measure(client, "warming up", 60)["spread"], "web1 to be known as idle")
    # A veth hands packets to a queue by whichever CPU has sent them, so that a flow may begin on one and end on another
    # one, which is known with the next sweep too: not every round is a fair one.
    rounds = []

    def beats_turns():
        rounds.append(measure(client, "least_connections", 3 * REQUESTS))
        return rounds[-1]["seconds"] < 0.5 * 3 * turns["seconds"] and 0 < rounds[-1]["spread"]["web1"] < 0.5 * REQUESTS
    wait_until(beats_turns, lambda: f"least_connections to beat {turns}: {rounds}", timeout=30)
    choose(balancer, "least_time")

    def is_fair(by_time):
        # Its health check tells that it is slow: it gets nearly nothing, whatever few connections it has.
        return by_time["seconds"] < 0.5 * 3 * turns["seconds"] and by_time["spread"].get("web1", 0) < 0.1 * REQUESTS
    by_time = best_of_three(lambda: measure(client, "least_time", 3 * REQUESTS), is_fair)
    assert is_fair(by_time), (by_time, turns)
    if forwarding == "nat":
        # Also where the client has used a port again, and its packets have come by the other queue than before; but for
        # a few whose last packets came by both at the same moment, of which one says nothing of the end.
        wait_until(lambda: sum(active_flows(balancer)) <= 10, lambda: f"{active_flows(balancer)} to end", timeout=20)
    balancer.stop()


def active_flows(balancer):
    """By backend, as the last sweep has found."""
    listed = json.loads(balancer.ctl("list", "web", "-o", "json").stdout)
    return [int(backend["active_flows"]) for backend in listed["pools"][0]["backends"]]


def test_a_client_stays_with_its_server(lab, engine):
    """source_hash, and maglev with affinity: source_ip."""
    site = Site(lab, queues=2, engine=engine)
    guests = [site.add_client(f"client{i}", 100 + i) for i in range(6)]
    site.add_backends(3)
    made = site.configuration(workers=2)
    made["pools"][0]["algorithm"] = "source_hash"
    balancer = site.balancer(made).start()
    spreads = [clients.http_requests(guest, VIRTUAL[4], 30)["spread"] for guest in guests]
    assert all(len(spread) == 1 for spread in spreads), spreads
    del made["pools"][0]["algorithm"]
    made["listeners"][0]["affinity"] = "source_ip"
    assert "generation=" in balancer.reload()
    assert [clients.http_requests(guest, VIRTUAL[4], 30)["spread"] for guest in guests] == spreads
    del made["listeners"][0]["affinity"]
    assert "generation=" in balancer.reload()
    assert len(clients.http_requests(guests[0], VIRTUAL[4], 300)["spread"]) == 3
    balancer.stop()
