"""Which backends are used when: backups, slow start, and flows of a backend that is removed.

   client ---- LAN ----+---- balancer        checks HEALTH_PORT of each
                       '---- web1 web2 web3  port 80: nginx; HEALTH_PORT: as the test wants it
"""

import time

import pytest
from lab import clients, servers
from lab.process import wait_until
from lab.site import VIRTUAL, Site

SLOW_START = 10
CHECK = {"type": "http", "port": servers.HEALTH_PORT, "interval": "500ms", "timeout": "450ms", "rise": 2, "fall": 3}


def spread(client, requests=100):
    answer = clients.http_requests(client, VIRTUAL[4], requests)
    assert answer["failed"] == 0, answer
    return answer["spread"]


def start(site, **keys):
    """A balancer whose pool has these keys, and what each backend's checks ask."""
    health = [servers.Health(backend.node) for backend in site.backends]
    made = site.configuration(4)
    made["pools"][0].update({"health_check": CHECK, **keys})
    return made, health


def test_a_backup_takes_over_and_stands_back(lab, engine):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(3)
    made, health = start(site)
    made["pools"][0]["backends"][2]["backup"] = True
    balancer = site.balancer(made).start()
    # A check may be late on a machine with much else to do: then its server is healthy again.
    wait_until(lambda: balancer.process.output().count(": healthy") >= 3, "the first checks")
    wait_until(lambda: set(spread(client)) == {"web1", "web2"}, "the backup to be in reserve")
    health[0].set("wrong")
    wait_until(lambda: set(spread(client)) == {"web2"}, "web1 to be left")
    begin = time.monotonic()
    health[1].set("down")
    wait_until(lambda: set(spread(client)) == {"web3"}, "the backup to be used")
    print(f"{engine}: the backup alone after {1000 * (time.monotonic() - begin):.0f} ms")
    assert "backend web/web3: in use, for want of others" in balancer.process.output()
    health[0].set("ok")
    wait_until(lambda: set(spread(client)) == {"web1"}, "the backup to stand back")
    balancer.stop()


@pytest.mark.alone
def test_a_slow_start(lab, engine):
    """The share of a server that comes back grows; the tables are published ten times for it."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    made, health = start(site, slow_start=f"{SLOW_START}s")
    balancer = site.balancer(made).start()
    wait_until(lambda: balancer.process.output().count(": healthy: ") >= 2, "the first checks")
    health[0].set("wrong")
    wait_until(lambda: set(spread(client)) == {"web2"}, "web1 to be left")
    begin = time.monotonic()
    health[0].set("ok")
    wait_until(lambda: "healthy again" in balancer.process.output(), "web1 to be healthy again")
    first = spread(client, 1_000).get("web1", 0)
    weight = min(1, 0.1 + (time.monotonic() - begin) / SLOW_START)
    wait_until(lambda: spread(client, 1_000)["web1"] > 430, "web1 to have its share", timeout=30)
    print(f"{engine}: {first} of 1,000 at first, a half in the end")
    # No more than it could have at the end of that, and six standard deviations; of 230 they are 80.
    assert 0 < first < 1_000 * weight / (1 + weight) + 80
    balancer.stop()


@pytest.mark.parametrize("forwarding", ("dsr_l2", "nat"))
def test_a_removed_backend_drains(lab, engine, forwarding):
    """Its connections are served for drain_timeout, and not longer; a new one it never gets."""
    site = Site(lab, forwarding, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    made = site.configuration(4)
    made["pools"][0]["drain_timeout"] = "8s"
    balancer = site.balancer(made).start()
    held = clients.HeldConnections(client, VIRTUAL[4], 60, timeout=4)
    assert set(held.first["spread"]) == {"web1", "web2"}
    del balancer.configuration["pools"][0]["backends"][0]
    assert "generation=" in balancer.reload()
    begin = time.monotonic()
    assert set(spread(client)) == {"web2"}
    answer = held.ask()
    assert time.monotonic() - begin < 7, "too slow to tell"
    assert (answer["broken"], answer["moved"], answer["spread"]) == ({}, 0, held.first["spread"]), answer
    wait_until(lambda: "its flows have had their drain_timeout" in balancer.process.output(), "the end of it", 15)
    assert time.monotonic() - begin > 7
    answer = held.ask()
    assert sum(answer["broken"].values()) == held.first["spread"]["web1"], answer
    assert answer["spread"]["web2"] == held.first["spread"]["web2"]
    balancer.stop()
