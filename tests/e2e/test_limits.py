"""Limits of backends on their connections.

   client ==== LAN ====+==== balancer
                       '---- web1 (at most 5) web2 (at most 6) web3
"""

import pytest
from lab import clients
from lab.process import wait_until
from lab.site import VIRTUAL, Site

LIMITS = {"web1": 5, "web2": 6}
HELD = 60


def limit(balancer, limits):
    for backend in balancer.configuration["pools"][0]["backends"]:
        backend.pop("max_connections", None)
        if backend["name"] in limits:
            backend["max_connections"] = limits[backend["name"]]


def request(client):
    return clients.http_requests(client, VIRTUAL[4], 1, timeout=1)


@pytest.mark.parametrize("forwarding", ("dsr_l2", "nat"))
def test_full_backends_pass_new_connections_on_and_then_refuse_them(lab, engine, forwarding):
    site = Site(lab, forwarding, engine=engine)
    client = site.add_client()
    site.add_backends(3)
    balancer = site.balancer(site.configuration())
    limit(balancer, LIMITS)
    balancer.start()
    held = clients.HeldConnections(client, VIRTUAL[4], HELD)
    assert held.first["spread"] == {**LIMITS, "web3": HELD - sum(LIMITS.values())}, held.first
    # The last one gets a limit too, one above what it has.
    limit(balancer, {**LIMITS, "web3": held.first["spread"]["web3"] + 1})
    assert "generation=" in balancer.reload()
    one_more = clients.HeldConnections(client, VIRTUAL[4], 1)
    assert one_more.first["spread"] == {"web3": 1}
    refused = request(client)
    assert refused["failed"] == 1, refused
    assert "backends_full" in balancer.ctl("status").stdout
    # Nobody who is there has lost anything by that.
    assert held.ask()["broken"] == {} and held.ask()["moved"] == 0
    one_more.close()
    wait_until(lambda: request(client)["spread"] == {"web3": 1}, "the place to be free again")
    held.close()
    wait_until(lambda: len(clients.http_requests(client, VIRTUAL[4], 30, concurrency=1, timeout=1)["spread"]) == 3,
               "all of them to have room")
    balancer.stop()


def test_a_hash_keeps_to_shares_where_it_is_told_to(lab, engine):
    """One client and source_hash: all flows would go to one server."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(3)
    made = site.configuration()
    made["pools"][0].update(algorithm="source_hash", hash_balance_factor=150)
    balancer = site.balancer(made).start()
    held = clients.HeldConnections(client, VIRTUAL[4], HELD)
    # Half as many more than its share, and one that was due when it was told.
    assert max(held.first["spread"].values()) <= 1.5 * HELD / 3 + 1 and len(held.first["spread"]) == 3, held.first
    assert held.ask()["broken"] == {} and held.ask()["moved"] == 0
    balancer.stop()
