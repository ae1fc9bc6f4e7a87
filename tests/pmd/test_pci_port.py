"""HTTP through a PCI device.

   client ---- LAN ----+---- cable ---- card (PCI, DPDK's) -- sluiced -- sluice0 (tap, has the balancer's address)
                       '---- web1 web2
"""

import pytest
from lab import clients
from lab.site import VIRTUAL


@pytest.mark.parametrize("family", (4, 6))
def test_http(any_site, card, family):
    balancer = any_site.balancer_with(card, family).start(60)
    answer = clients.http_requests(any_site.client, VIRTUAL[family], 300, timeout=30)
    assert answer["failed"] == 0 and len(answer["spread"]) == 2, answer
    balancer.stop()
    assert "sluice0" not in any_site.node.run("ip", "link").stdout
