"""HTTP through a PCI device.

   client ---- LAN ----+---- cable ---- card (PCI, DPDK's) -- sluiced -- sluice0 (tap, has the balancer's address)
                       '---- web1 web2
"""

import pytest
from devices import CARDS
from lab import clients
from lab.site import FAMILIES, VIRTUAL


@pytest.mark.parametrize("kind", CARDS)
def test_http(site, bound, kind):
    balancer = site.balancer_with(bound[kind]).start(60)
    for family in FAMILIES:
        balancer.configuration = site.configuration_with(bound[kind], family)
        assert "generation=" in balancer.reload()
        answer = clients.http_requests(site.client, VIRTUAL[family], 200, timeout=30)
        assert answer["failed"] == 0 and len(answer["spread"]) == 2, answer
    balancer.stop()
    assert "sluice0" not in site.node.run("ip", "link").stdout
