"""The balancer on its link: who answers for the virtual address, the node beside it, neighbours and gateways.

   client ----+---- LAN ----+---- balancer           web4 web5
              |             |                          |
              '--- web1 ... '---------- gateway ---- back LAN
"""

import json
import re

import pytest
from lab import clients
from lab.process import wait_until
from lab.site import VIRTUAL, Site

FAMILIES = pytest.mark.parametrize("family", (4, 6))


def neighbour_mac(node, address):
    """The MAC address that the node has for a neighbour, or None."""
    shown = json.loads(node.run("ip", "-j", "neighbour", "show", "to", address).stdout)
    return shown[0].get("lladdr") if shown else None


def serves(client, address):
    """Whether one request goes well; what is lost of it is sent again after a second."""
    return clients.http_requests(client, address, 1, timeout=3)["failed"] == 0


@FAMILIES
def test_the_path_answers_for_the_virtual_address(lab, family, engine):
    """A neighbour learns the balancer's MAC for it, though its kernel does not have the address."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(1)
    balancer = site.balancer(site.configuration(family)).start()
    client.run("ping", "-q", "-c", "1", "-W", "2", VIRTUAL[family])
    assert neighbour_mac(client, VIRTUAL[family]) == site.node.mac()
    assert VIRTUAL[family] + "/" not in site.node.run("ip", "address").stdout
    balancer.stop()


@FAMILIES
def test_the_virtual_address_is_announced_at_start(lab, family, engine):
    """So that neighbours who knew another node by it turn to this one."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(1)
    capture = client.start("tcpdump", "tcpdump", "-l", "-n", "-e", "-i", "eth0", "arp or icmp6")
    capture.wait_for_output("listening on")
    site.balancer(site.configuration(family)).start()
    announced = (rf"{site.node.mac()} > ff:ff:ff:ff:ff:ff.*{re.escape(VIRTUAL[4])}" if family == 4 else
                 rf"{site.node.mac()} > 33:33:00:00:00:01.*neighbor advertisement, tgt is {re.escape(VIRTUAL[6])}")
    wait_until(lambda: re.search(announced, capture.output()), lambda: f"{announced} in\n{capture.output()}")


@FAMILIES
def test_an_address_with_announce_none_is_left_alone(lab, family, engine):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(1)
    configuration = site.configuration(family)
    for listener in configuration["listeners"]:
        listener["announce"] = "none"
    site.balancer(configuration).start()
    client.run("ping", "-q", "-c", "1", "-W", "1", VIRTUAL[family], check=False)
    assert neighbour_mac(client, VIRTUAL[family]) is None
    # Routed to the node instead, it is served.
    client.add_route(VIRTUAL[family], site.address(family))
    assert serves(client, VIRTUAL[family])


@FAMILIES
def test_no_echo_when_the_listener_says_so(lab, family, engine):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(1)
    configuration = site.configuration(family)
    for listener in configuration["listeners"]:
        listener["icmp_echo"] = False
    site.balancer(configuration).start()
    assert serves(client, VIRTUAL[family])
    assert client.run("ping", "-q", "-c", "2", "-i", "0.1", "-W", "1", VIRTUAL[family], check=False).returncode == 1


@FAMILIES
def test_the_node_keeps_its_own_traffic(lab, family, engine):
    """What is not a listener's goes on to the kernel: its own services, ARP and ND for its own address, both ways."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    backend = site.add_backends(1)[0]
    site.node.start("ssh", "socat", "TCP6-LISTEN:22,fork,reuseaddr", "EXEC:echo node")
    site.balancer(site.configuration(family)).start()
    own = f"[{site.address(family)}]" if family == 6 else site.address(family)
    for _ in range(10):
        assert client.run("socat", "-T5", "-u", f"TCP{family}:{own}:22", "-").stdout == "node\n"
    assert client.run("ping", "-q", "-c", "3", "-i", "0.05", site.address(family)).returncode == 0
    assert clients.http_requests(site.node, backend.addresses[family], 20)["failed"] == 0
    # A port of the virtual address without a listener is nobody's: no answer from the node's kernel.
    assert clients.http_requests(client, VIRTUAL[family], 1, port=81, timeout=1)["failed"] == 1


@FAMILIES
@pytest.mark.parametrize("mode", ("ipip", "gue"))
def test_backends_behind_a_gateway(lab, mode, family, engine):
    site = Site(lab, mode, engine=engine)
    client = site.add_client()
    site.add_backends(1)
    site.add_backends_behind_gateway(2)
    site.balancer(site.configuration(family)).start()
    answer = clients.http_requests(client, VIRTUAL[family], 1_000)
    assert answer["failed"] == 0 and len(answer["spread"]) == 3, answer


@pytest.mark.parametrize("mode,family,backend_family", [("ipip", 4, 6), ("ipip", 6, 4), ("gue", 4, 6), ("gue", 6, 4)])
def test_tunnels_over_the_other_family(lab, mode, family, backend_family, engine):
    site = Site(lab, mode, engine=engine)
    client = site.add_client()
    site.add_backends(3)
    site.balancer(site.configuration(family, backend_family)).start()
    answer = clients.http_requests(client, VIRTUAL[family], 1_000)
    assert answer["failed"] == 0 and len(answer["spread"]) == 3, answer


@FAMILIES
def test_a_neighbour_that_changes_its_mac(lab, family, engine):
    """As a replaced network card does: the server comes back with another MAC and says so on the link."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    backend = site.add_backends(1)[0]
    backend.node.sysctl(net__ipv4__conf__eth0__arp_notify=1, net__ipv6__conf__eth0__ndisc_notify=1)
    site.balancer(site.configuration(family)).start()
    wait_until(lambda: serves(client, VIRTUAL[family]), "the first answer")
    for number in (1, 2):
        backend.node.ip(f"link set dev eth0 down address 02:00:00:00:07:0{number}", "link set dev eth0 up")
        if family == 6:
            backend.node.ip(f"address replace {backend.addresses[6]}/64 dev eth0 nodad")
        wait_until(lambda: serves(client, VIRTUAL[family]), "an answer from the new MAC", timeout=20)
        answer = clients.http_requests(client, VIRTUAL[family], 200)
        assert answer["failed"] == 0, answer


@FAMILIES
def test_a_cable_that_is_pulled_and_put_back(lab, family, engine):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    site.balancer(site.configuration(family)).start()
    assert serves(client, VIRTUAL[family])
    for _ in range(2):
        site.lan.ip("link set dev balancer down")
        assert not serves(client, VIRTUAL[family])
        site.lan.ip("link set dev balancer up")
        wait_until(lambda: serves(client, VIRTUAL[family]), "an answer with the cable back", timeout=20)
        answer = clients.http_requests(client, VIRTUAL[family], 200)
        assert answer["failed"] == 0, answer


def test_a_backend_without_a_next_hop_gets_nothing_and_is_named(lab, engine):
    """Nobody answers for its address: it takes no share, and the log says which one it is."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    configuration = site.configuration(4)
    configuration["pools"][0]["backends"].append({"name": "ghost", "address": "203.0.113.77"})
    balancer = site.balancer(configuration).start()
    wait_until(lambda: "203.0.113.77: no next hop" in balancer.process.output(), "the log to name the backend", 15)
    wait_until(lambda: clients.http_requests(client, VIRTUAL[4], 100, timeout=1)["failed"] == 0,
               "100 requests without a failure", timeout=20)
