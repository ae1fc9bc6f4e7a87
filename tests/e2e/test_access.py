"""Who may open flows of a listener, and changes of that while there is traffic.

   client .100 ----+---- LAN ----+---- balancer
   other  .101 ----'             '---- web1 web2 web3
"""

import copy
import time

import pytest
from lab import clients
from lab.site import VIRTUAL, Site

OTHER = {4: "203.0.113.101", 6: "2001:db8::101"}
FAMILIES = pytest.mark.parametrize("family", (4, 6))


@pytest.fixture(params=("dsr_l2", "nat"))
def site(request, lab, engine):
    made = Site(lab, request.param, engine=engine)
    made.client = made.add_client()
    made.other = made.add_client("other", 101)
    made.add_backends(3)
    return made


def give(balancer, **access):
    """All listeners these lists; the file is applied."""
    for listener in balancer.configuration["listeners"]:
        listener["access"] = copy.deepcopy(access)
    assert "generation=" in balancer.reload()


def ask(node, family):
    """What curl says: who has answered, or its exit code."""
    ran = node.run("curl", "-sS", "--max-time", 4, clients.url(VIRTUAL[family]), check=False)
    return ran.stdout.strip() or ran.returncode


REFUSED = 7  # curl: failed to connect, by a RST
TIMED_OUT = 28


@FAMILIES
def test_a_denied_client_gets_nothing_or_a_reset(site, family):
    balancer = site.balancer(site.configuration(family)).start()
    assert str(ask(site.other, family)).startswith("web")
    give(balancer, deny=[OTHER[family]])
    assert ask(site.other, family) == TIMED_OUT
    answer = clients.http_requests(site.client, VIRTUAL[family], 300)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2", "web3"}, answer
    give(balancer, deny=[OTHER[family]], on_refused="reset")
    assert ask(site.other, family) == REFUSED
    assert str(ask(site.client, family)).startswith("web")
    give(balancer, allow=[OTHER[family]], on_refused="reset")
    assert str(ask(site.other, family)).startswith("web")
    assert ask(site.client, family) == REFUSED
    status = balancer.ctl("status", "-o", "json").stdout
    assert '"source_denied"' in status and '"replied_source_denied"' in status
    words = balancer.ctl("explain", f"{_host(site.client, family)}:1", _service(family)).stdout
    assert "source_denied" in words


@FAMILIES
def test_established_connections_go_on(site, family):
    """40 of each client; then one of them is denied, and its connections are still served by the same servers."""
    balancer = site.balancer(site.configuration(family)).start()
    held = {node: clients.HeldConnections(node, VIRTUAL[family], 40) for node in (site.client, site.other)}
    give(balancer, deny=[OTHER[family]], on_refused="reset")
    assert ask(site.other, family) == REFUSED
    for connections in held.values():
        answer = connections.ask()
        assert answer["broken"] == {} and answer["spread"] == connections.first["spread"], answer
    give(balancer)
    assert str(ask(site.other, family)).startswith("web")
    for connections in held.values():
        assert connections.ask()["broken"] == {}


def test_a_hundred_thousand_prefixes(site):
    """They come under load, and no request of whom they say nothing about fails."""
    balancer = site.balancer(site.configuration(4)).start()
    load = clients.HttpLoad(site.client, VIRTUAL[4])
    many = [f"{10 + number // 65536}.{number // 256 % 256}.{number % 256}.0/25" for number in range(100_000)]
    balancer.configuration["listeners"][0]["access"] = {"deny": many + [OTHER[4]]}
    assert "generation=" in balancer.reload()
    assert ask(site.other, 4) == TIMED_OUT
    assert balancer.ctl("export").stdout.count("/25") == len(many)
    answer = load.stop()
    assert answer["requests"] > 100 and answer["failed"] == 0, answer


@FAMILIES
def test_a_source_has_its_rate(site, family):
    """100 connections from each client, far faster than 20 a second: of the one that is not limited none fails."""
    balancer = site.balancer(site.configuration(family)).start()
    give(balancer, new_connections_per_source="20/s", on_refused="reset")
    begin = time.monotonic()
    answer = clients.http_requests(site.client, VIRTUAL[family], 200)
    windows = (time.monotonic() - begin) / 1.07
    served = answer["requests"] - answer["failed"]
    # A source has what a window allows at once, and no more than twice of it within any.
    assert 21 <= served <= 22 * (2 + windows), (answer, windows)
    # The other one has a count of its own, but where both are of one /64, which is one source.
    if family == 4:
        assert str(ask(site.other, family)).startswith("web")
    assert '"replied_source_over_rate"' in balancer.ctl("status", "-o", "json").stdout
    give(balancer)
    assert clients.http_requests(site.client, VIRTUAL[family], 200)["failed"] == 0


def _host(node, family):
    """The address of a client that this file adds."""
    number = {"client": 100, "other": 101}[node.name]
    return f"203.0.113.{number}" if family == 4 else f"[2001:db8::{number}]"


def _service(family):
    return f"{VIRTUAL[4]}:80" if family == 4 else f"[{VIRTUAL[6]}]:80"
