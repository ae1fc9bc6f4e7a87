"""A port that is a DPDK device, with a tap as the kernel's side of it.

   client ---- LAN ----+---- wire0 (packet socket of DPDK) -- sluiced -- sluice0 (tap, has the balancer's address)
                       '---- web1 web2

The kernel of the balancer drops what comes in on wire0, as it would not see the packets of a real device: the tap alone
carries its traffic.
"""

import pytest
from lab import clients, servers
from lab.process import wait_until
from lab.site import VIRTUAL, Site

_DROP = """
table netdev wire {
  chain ingress { type filter hook ingress device "wire0" priority 0; policy drop; }
}
"""


def device_site(lab, mtu=1500):
    """A site whose balancer has nothing but the cable wire0, which its kernel does not listen to."""
    site = Site(lab, mtu=mtu)
    site.node.ip("address flush dev eth0", "link set dev eth0 down", "link set dev eth0 name wire0")
    site.node.sysctl(net__ipv6__conf__wire0__disable_ipv6=1)
    site.node.ip("link set dev wire0 up")
    site.node.run("nft", "-f", "-", stdin=_DROP)
    return site


def device_configuration(site, family, device, mtu=1500):
    configuration = site.configuration(family)
    configuration["engine"]["interfaces"] = [{
        "device": device, "tap": "sluice0", "mtu": mtu,
        "addresses": [f"{site.address(4)}/24", f"{site.address(6)}/64"]}]
    return configuration


@pytest.mark.parametrize("family", (4, 6))
def test_balancing_and_the_node_behind_the_tap(lab, family):
    site = device_site(lab)
    client = site.add_client()
    backend = site.add_backends(2)[0]
    balancer = site.balancer(device_configuration(site, family, "net_af_packet0,iface=wire0")).start()
    site.node.start("ssh", "socat", "TCP6-LISTEN:22,fork,reuseaddr", "EXEC:echo node")
    answer = clients.http_requests(client, VIRTUAL[family], 1_000)
    assert answer["failed"] == 0 and len(answer["spread"]) == 2, answer
    own = f"[{site.address(family)}]" if family == 6 else site.address(family)
    wait_until(lambda: client.run("socat", "-T2", "-u", f"TCP{family}:{own}:22,connect-timeout=2", "-",
                                  check=False).stdout == "node\n", "the node to answer through its tap")
    client.run("ping", "-q", "-c", "3", "-i", "0.05", "-W", "2", site.address(family))
    assert clients.http_requests(site.node, backend.addresses[family], 20)["failed"] == 0
    assert site.node.mac("sluice0") == site.node.mac("wire0")
    balancer.stop()
    assert "sluice0" not in site.node.run("ip", "link").stdout


@pytest.mark.parametrize("family", (4, 6))
def test_jumbo_frames(lab, tmp_path, family):
    """9,000 bytes a packet: both ends agree on segments that fit, and the balancer takes them. DPDK's packet socket and
    tap take no more than 1,500; its pcap device does."""
    path = tmp_path / "some"
    path.write_bytes(bytes(range(256)) * 40_000)
    site = device_site(lab, mtu=9000)
    client = site.add_client()
    for backend in site.add_backends(2):
        servers.upload(backend.node)
    device = "net_pcap0,rx_iface_in=wire0,tx_iface=wire0"
    site.balancer(device_configuration(site, family, device, mtu=9000)).start()
    before = packets_received(site.node)
    assert clients.upload(client, VIRTUAL[family], path)[0] in ("web1", "web2")
    # 10 MB in full segments of 9,000 are 1,150 packets; in segments of 1,500 they would be 7,000.
    assert packets_received(site.node) - before < 3_000


def packets_received(node):
    return int(node.run("cat", "/proc/net/dev").stdout.partition("wire0:")[2].split()[1])


def test_a_device_that_is_none(lab):
    site = device_site(lab)
    site.add_backends(1)
    words = site.balancer(device_configuration(site, 4, "net_nosuch0")).refuse()
    assert "net_nosuch0" in words, words
