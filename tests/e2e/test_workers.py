"""Two workers on an interface with two queues.

   client ==== LAN ====+==== balancer (== two queues)
                       '---- web1 web2 web3
"""

import re

import pytest
from lab import clients, servers
from lab.process import wait_until
from lab.site import VIRTUAL, Site


def packets_by_queue(node):
    """Packets that XDP got on each queue of eth0."""
    statistics = node.run("ethtool", "-S", "eth0").stdout
    return [int(n) for n in re.findall(r"rx_queue_\d+_xdp_packets: (\d+)", statistics)]


@pytest.mark.parametrize("family", (4, 6))
@pytest.mark.parametrize("mode", ("dsr_l2", "gue"))
def test_both_workers_serve(lab, tmp_path, mode, family, engine):
    (tmp_path / "some").write_bytes(bytes(range(256)) * 20_000)
    site = Site(lab, mode, queues=2, engine=engine)
    client = site.add_client()
    for backend in site.add_backends(3):
        servers.upload(backend.node)
        servers.udp_echo(backend.node, *VIRTUAL.values())
    site.balancer(site.configuration(family, workers=2)).start()

    def both_queues():
        answer = clients.http_requests(client, VIRTUAL[family], 3_000)
        assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2", "web3"}, answer
        queues = packets_by_queue(site.node)
        assert len(queues) == 2, queues
        return min(queues) > 1_000
    # Which queue gets a packet goes by the CPU that has sent it, so by the scheduler.
    wait_until(both_queues, lambda: f"packets on both queues: {packets_by_queue(site.node)}", timeout=60)
    for _ in range(8):
        clients.upload(client, VIRTUAL[family], tmp_path / "some")
    # Later fragments have no ports: the device may give them to another queue than the first one of their datagram.
    clients.udp_echo(client, VIRTUAL[family], 4_000, count=30, attempts=1 if mode == "dsr_l2" else 2)
