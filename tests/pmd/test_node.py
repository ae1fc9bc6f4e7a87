"""The kernel's side of a PCI device: the node's own address, a TCP service and a BGP session on it, under load.

   client, router (BIRD) ---- LAN ----+---- cable ---- card (PCI, DPDK's) -- sluiced -- sluice0 -- BIRD, a TCP service
                                      '---- web1 web2
"""

import re

import pytest
from lab import clients, servers
from lab.process import wait_until
from lab.site import VIRTUAL

pytestmark = pytest.mark.parametrize("site", ("dsr_l2",), indirect=True)

# A session that gets no packets through for nine seconds ends.
_BIRD = """
router id {own};
protocol device {{ }}
protocol static {{ ipv4; {route} }}
protocol bgp neighbour {{
  local {own} as {own_as}; neighbor {other} as {other_as}; hold time 9; connect delay time 1;
  ipv4 {{ import all; export all; }};
}}
"""


class Bird:
    """BIRD on a node with one neighbour."""

    def __init__(self, node, own, other, route=""):
        folder = node.lab.folder
        self.node, self.socket = node, folder / f"{node.name}-bird.ctl"
        file = folder / f"{node.name}-bird.conf"
        own_as, other_as = (65001, 65002) if own < other else (65002, 65001)
        file.write_text(_BIRD.format(own=own, other=other, own_as=own_as, other_as=other_as, route=route))
        self.process = node.start("bird", "bird", "-f", "-c", file, "-s", self.socket)
        wait_until(lambda: "BIRD" in node.run("birdc", "-s", self.socket, "show", "status", check=False).stdout,
                   f"BIRD to start on {node.name}")

    def show(self, *words):
        return self.node.run("birdc", "-s", self.socket, "show", *words).stdout

    def since(self):
        """When the session was established, as seconds of the day, or None. BIRD tells a millisecond more or less."""
        found = re.search(r"neighbour +BGP +\S+ +up +(\d+):(\d+):(\S+) +Established", self.show("protocols"))
        return found and 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])


@pytest.fixture(scope="module")
def router(site):
    return site.add_client("router", 1)


@pytest.mark.parametrize("card", ("e1000",), indirect=True)
def test_a_service_and_bgp_beside_the_load(site, router, card):
    balancer = site.balancer_with(card).start(60)
    assert site.node.mac("sluice0") == card.mac
    own = site.address(4)
    for address in (own, site.address(6)):
        site.client.run("ping", "-q", "-c", "3", "-i", "0.2", "-W", "5", address)
    echo = servers.many(site.node)
    service = clients.ManyConnections(site.client, own, 10, timeout=30)
    speaker = Bird(site.node, own, "203.0.113.1", f"route {VIRTUAL[4]}/32 blackhole;")
    peer = Bird(router, "203.0.113.1", own)
    for end in (peer, speaker):
        wait_until(end.since, lambda: f"BGP: {peer.show('protocols', 'all', 'neighbour')}", 60)
    wait_until(lambda: f"{VIRTUAL[4]}/32" in peer.show("route"), "the virtual address to be announced", 30)
    since = [peer.since(), speaker.since()]

    load = clients.HttpLoad(site.client, VIRTUAL[4], timeout=30)
    for _ in range(5):
        assert "generation=" in balancer.reload()
        assert clients.http_requests(site.client, VIRTUAL[4], 100)["failed"] == 0
        asked = service.command("ask")
        assert asked["open"] == 10 and not asked.get("broken"), asked
    answer = load.stop()
    assert answer["failed"] == 0 and answer["requests"] > 100, answer
    assert [peer.since(), speaker.since()] == pytest.approx(since, abs=0.1), peer.show("protocols", "all", "neighbour")
    for process in (echo, speaker.process, peer.process):
        process.kill()
    balancer.stop()


def test_the_tap_has_the_mtu_of_the_file(site, bound):
    balancer = site.balancer_with(bound["e1000"], mtu=4000).start(60)
    assert " mtu 4000 " in site.node.run("ip", "link", "show", "sluice0").stdout
    balancer.stop()
