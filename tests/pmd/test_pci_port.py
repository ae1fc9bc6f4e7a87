"""HTTP through a PCI device.

   client ---- LAN ----+---- cable ---- card (PCI, DPDK's) -- sluiced -- sluice0 (tap, has the balancer's address)
                       '---- web1 web2
"""

import pytest
from devices import CARDS
from lab import clients
from lab.site import FAMILIES, VIRTUAL


@pytest.mark.parametrize("kind", CARDS)
def test_http(any_site, bound, kind):
    balancer = any_site.balancer_with(bound[kind]).start(60)
    for family in FAMILIES:
        balancer.configuration = any_site.configuration_with(bound[kind], family)
        assert "generation=" in balancer.reload()
        answer = clients.http_requests(any_site.client, VIRTUAL[family], 200, timeout=30)
        assert answer["failed"] == 0 and len(answer["spread"]) == 2, answer
    balancer.stop()
    assert "sluice0" not in any_site.node.run("ip", "link").stdout
