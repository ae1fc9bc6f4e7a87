"""Limits of backends and of listeners on their connections.

   client ==== LAN ====+==== balancer
                       '---- web1 (at most 5) web2 (at most 6) web3
"""

import csv
import io

import pytest
from lab import clients
from lab.process import wait_until
from lab.site import VIRTUAL, Site

LIMITS = {"web1": 5, "web2": 6}
HELD = 60
OTHER_PORT = 8000


def limit(balancer, limits):
    for backend in balancer.configuration["pools"][0]["backends"]:
        backend.pop("max_connections", None)
        if backend["name"] in limits:
            backend["max_connections"] = limits[backend["name"]]


def request(client):
    # One that is late, not refused, has been sent again by then.
    return clients.http_requests(client, VIRTUAL[4], 1, timeout=3)


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
    wait_until(lambda: len(clients.http_requests(client, VIRTUAL[4], 30, concurrency=1, timeout=3)["spread"]) == 3,
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


MOST = 20


def limit_listener(balancer, most, on_refused="drop"):
    # No other one opens flows in its pool.
    del balancer.configuration["listeners"][1:]
    balancer.configuration["listeners"][0].update(max_connections=most, access={"on_refused": on_refused})


def is_refused(client):
    return request(client)["failed"] == 1


def listed(balancer):
    """(active, limit) of the first listener."""
    row = next(csv.DictReader(io.StringIO(balancer.ctl("list", "-o", "csv").stdout)))
    return row["active"], row["limit"]


@pytest.mark.parametrize("forwarding", ("dsr_l2", "nat"))
def test_a_full_listener_refuses_new_connections(lab, engine, forwarding):
    site = Site(lab, forwarding, engine=engine, queues=2)
    client = site.add_client()
    site.add_backends(3)
    balancer = site.balancer(site.configuration(workers=2))
    limit_listener(balancer, MOST)
    balancer.start()
    held = clients.HeldConnections(client, VIRTUAL[4], MOST)
    assert sum(held.first["spread"].values()) == MOST, held.first
    # By now each worker has heard of the other's.
    wait_until(lambda: is_refused(client), "the listener to be full")
    assert is_refused(client)
    assert "listener_full" in balancer.ctl("status").stdout
    wait_until(lambda: listed(balancer) == (str(MOST), str(MOST)), "the list to show it")
    assert "listener_full" in balancer.ctl("explain", "203.0.113.100:1", f"{VIRTUAL[4]}:80").stdout
    # One more, and then fewer than there are: nobody who is there loses anything by that.
    limit_listener(balancer, MOST + 1, on_refused="reset")
    assert "generation=" in balancer.reload()
    one_more = clients.HeldConnections(client, VIRTUAL[4], 1)
    wait_until(lambda: is_refused(client), "the listener to be full again")
    assert "replied_listener_full" in balancer.ctl("status").stdout
    limit_listener(balancer, 1)
    assert "generation=" in balancer.reload()
    assert is_refused(client)
    for connections in (held, one_more):
        assert connections.ask()["broken"] == {} and connections.ask()["moved"] == 0
    held.close()
    one_more.close()
    wait_until(lambda: not is_refused(client), "connections that have ended to make room")
    balancer.stop()


def test_what_others_open_in_its_pool_counts(lab, engine):
    """Flows are counted by backend: so a listener without a limit takes the room of one that has one."""
    site = Site(lab, "nat", engine=engine)
    client = site.add_client()
    site.add_backends(3)
    balancer = site.balancer(site.configuration(4))
    limit_listener(balancer, MOST)
    first = balancer.configuration["listeners"][0]
    for backend in balancer.configuration["pools"][0]["backends"]:
        backend["port"] = 80
    balancer.configuration["listeners"].append(
        {"name": "beside", "address": VIRTUAL[4], "ports": [OTHER_PORT], "protocol": "tcp", "pool": first["pool"]})
    balancer.start()
    assert f'counts all flows of its pool "{first["pool"]}", and listener "beside"' in balancer.process.output()
    held = clients.HeldConnections(client, VIRTUAL[4], MOST, port=OTHER_PORT)
    wait_until(lambda: is_refused(client), "the listener to be full of the other one's flows")
    wait_until(lambda: listed(balancer) == (str(MOST), str(MOST)), "the list to show it")
    more = clients.HeldConnections(client, VIRTUAL[4], 5, port=OTHER_PORT)
    assert sum(more.first["spread"].values()) == 5, more.first
    for connections in (held, more):
        assert connections.ask()["broken"] == {}
        connections.close()
    wait_until(lambda: not is_refused(client), "connections that have ended to make room")
    balancer.stop()


def test_a_limit_of_a_listener_outlives_the_daemon(lab, engine):
    """It is killed with the listener full: the kernel, which forwards from there on, knows that, and when there is room
    again; and so does the next daemon, which finds the connections that there are."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(3)
    balancer = site.balancer(site.configuration())
    limit_listener(balancer, MOST)
    balancer.start()
    held = clients.HeldConnections(client, VIRTUAL[4], MOST)
    wait_until(lambda: is_refused(client), "the listener to be full")
    balancer.kill()
    wait_until(lambda: held.ask()["broken"] == {}, "the kernel to forward")
    assert is_refused(client)
    held.close()
    wait_until(lambda: not is_refused(client), "connections that have ended to make room")
    held = clients.HeldConnections(client, VIRTUAL[4], MOST)
    assert sum(held.first["spread"].values()) == MOST, held.first
    assert is_refused(client)
    balancer.start()
    wait_until(lambda: is_refused(client), "the next daemon to know of them")
    assert held.ask()["broken"] == {} and held.ask()["moved"] == 0
    held.close()
    wait_until(lambda: not is_refused(client), "room")
    balancer.stop()
