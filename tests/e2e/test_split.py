"""Connections of a listener that are split between two pools: blue/green and canary, under load.

   client ==== LAN ====+==== balancer
                       '---- web1 web2 (blue)   web3 (green)
"""

import math

import pytest
from lab import clients
from lab.process import wait_until
from lab.site import VIRTUAL, Site

REQUESTS = 3_000
HELD = 60
BLUE, GREEN = {"web1", "web2"}, {"web3"}
FLOW = {4: ("203.0.113.100:1", f"{VIRTUAL[4]}:80"), 6: ("[2001:db8::100]:1", f"[{VIRTUAL[6]}]:80")}


def configured(site, family):
    """Everything goes to blue, which is not split yet."""
    made = site.configuration(family)
    made["pools"][0].update(name="blue", backends=made["pools"][0]["backends"][:2])
    made["pools"].append({**made["pools"][0], "name": "green", "algorithm": "round_robin",
                          "backends": site.configuration(family)["pools"][0]["backends"][2:]})
    for listener in made["listeners"]:
        if listener["pool"] == "web":
            listener["pool"] = "blue"
    return made


def split(balancer, blue, green):
    listener = balancer.configuration["listeners"][0]
    listener.pop("pool", None)
    listener["pools"] = [{"name": "blue", "weight": blue}, {"name": "green", "weight": green}]
    assert "generation=" in balancer.reload()


def of(answer, servers):
    return sum(answer["spread"].get(server, 0) for server in servers)


def requests(site, family):
    """All of them answered, and by nobody else."""
    answer = clients.http_requests(site.client, VIRTUAL[family], REQUESTS)
    assert answer["failed"] == 0, answer
    assert of(answer, BLUE) + of(answer, GREEN) == REQUESTS, answer
    return answer


@pytest.mark.parametrize("forwarding,family", (("dsr_l2", 4), ("dsr_l2", 6), ("nat", 4), ("nat", 6)))
def test_only_new_connections_move_when_weights_change(lab, engine, forwarding, family):
    site = Site(lab, forwarding, engine=engine)
    site.client = site.add_client()
    site.add_backends(3)
    balancer = site.balancer(configured(site, family)).start()
    assert of(requests(site, family), GREEN) == 0
    held = clients.HeldConnections(site.client, VIRTUAL[family], HELD)
    load = clients.HttpLoad(site.client, VIRTUAL[family])
    # One pool becomes one of two: nobody who is there notices.
    split(balancer, 90, 10)
    answer = requests(site, family)
    # More than six standard deviations are met once in 500 million times; four are once in 16,000.
    chance = 6 * math.sqrt(REQUESTS * 0.1 * 0.9)
    assert abs(of(answer, GREEN) - REQUESTS / 10) < chance, answer
    assert all(of(answer, {server}) > REQUESTS / 4 for server in BLUE), answer
    assert "blue:90,green:10" in balancer.ctl("list").stdout
    # All that is new goes to green, all that is there stays.
    split(balancer, 0, 100)
    answer = requests(site, family)
    assert of(answer, GREEN) == REQUESTS, answer
    stayed = held.ask()
    assert (stayed["broken"], stayed["moved"], of(stayed, BLUE)) == ({}, 0, HELD), stayed
    words = balancer.ctl("explain", *FLOW[family]).stdout
    assert "blue:0, green:100" in words and "of pool green" in words, words
    # And back by halves.
    split(balancer, 1, 1)
    assert REQUESTS * 0.4 < of(requests(site, family), GREEN) < REQUESTS * 0.6
    stayed = held.ask()
    assert (stayed["broken"], stayed["moved"], of(stayed, BLUE)) == ({}, 0, HELD), stayed
    ended = load.stop()
    assert ended["failed"] == 0 and ended["requests"] > 100, ended
    held.close()
    balancer.stop()


def test_a_pool_that_is_down_leaves_its_share_to_the_other(lab, engine):
    site = Site(lab, engine=engine)
    site.client = site.add_client()
    site.add_backends(3)
    made = configured(site, 4)
    check = {"type": "tcp", "port": 80, "interval": "500ms", "timeout": "450ms", "rise": 1, "fall": 2}
    for pool in made["pools"]:
        pool["health_check"] = dict(check)
    balancer = site.balancer(made).start()
    split(balancer, 50, 50)
    assert REQUESTS * 0.4 < of(requests(site, 4), GREEN) < REQUESTS * 0.6
    site.backends[2].web.kill()
    # Its pool would fail open; but another one has healthy backends.
    wait_until(lambda: "pool green has no backend for new flows" in balancer.ctl("status").stdout, "green to be down")
    answer = requests(site, 4)
    assert of(answer, GREEN) == 0, answer
    balancer.stop()
