"""Sizes: a narrow cable between the client and the servers, and packets that a tunnel makes too big.

   farclient --1500-- near --1300-- router --1500--+-- LAN --+-- balancer
                                                   |         |
                                                   '-- web1 web2 web3 (reach the client over the router)

Servers and client think 1,500. Whoever meets the narrow cable sends an ICMP error: for what a server sent that error
goes to the virtual address, so to the balancer, which has to find the server of the flow that it quotes.
"""

import re

import pytest
from lab import clients, servers
from lab.site import VIRTUAL, Site

FAMILIES = pytest.mark.parametrize("family", (4, 6))
FAR = {4: "198.51.100.100", 6: "2001:db8:1::100"}


@pytest.fixture
def files(tmp_path):
    """A folder with a file that takes some hundred full-size segments."""
    (tmp_path / "some").write_bytes(bytes(range(256)) * 2_000)
    return tmp_path


def known_path_mtu(node, destination):
    """The path MTU that a host has learnt for a destination, or None."""
    match = re.search(r"\bmtu (\d+)", node.run("ip", "route", "get", destination).stdout)
    return int(match.group(1)) if match else None


@FAMILIES
@pytest.mark.parametrize("mode", ("dsr_l2", "ipip", "gue"))
def test_servers_learn_a_narrow_path(lab, files, mode, family, engine):
    site = Site(lab, mode, engine=engine)
    backends = site.add_backends(3, files)
    client = site.add_far_client(path_mtu=1300)
    site.balancer(site.configuration(family)).start()
    for _ in range(20):
        clients.download(client, VIRTUAL[family], "some")
    learnt = [known_path_mtu(backend.node, FAR[family]) for backend in backends]
    assert learnt.count(1300) >= 2, f"path MTU as each server knows it: {learnt}"


@FAMILIES
@pytest.mark.parametrize("mode", ("dsr_l2", "gue"))
def test_a_client_uploads_over_a_narrow_path(lab, files, mode, family, engine):
    site = Site(lab, mode, engine=engine)
    for backend in site.add_backends(2):
        servers.upload(backend.node)
    client = site.add_far_client(path_mtu=1300)
    site.balancer(site.configuration(family)).start()
    for _ in range(5):
        assert clients.upload(client, VIRTUAL[family], files / "some")[0] in ("web1", "web2")


@FAMILIES
@pytest.mark.parametrize("mode", ("ipip", "gue"))
def test_the_client_is_told_what_fits_into_the_tunnel(lab, files, mode, family, engine):
    """1,500 less the outer headers: 20 or 40 bytes of IP, and 8 of UDP and 4 of GUE."""
    site = Site(lab, mode, engine=engine)
    client = site.add_client()
    for backend in site.add_backends(2):
        servers.upload(backend.node)
    site.balancer(site.configuration(family)).start()
    clients.upload(client, VIRTUAL[family], files / "some")
    overhead = {4: 20, 6: 40}[family] + (12 if mode == "gue" else 0)
    assert known_path_mtu(client, VIRTUAL[family]) == 1500 - overhead
