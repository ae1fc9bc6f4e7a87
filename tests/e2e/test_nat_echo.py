"""Pings that a listener forwards to its pool: there and back through the translation.

   client ----+---- LAN ----+---- balancer (sluiced on eth0, icmp_echo: forward)
              |             |
              '--- web1 web2 web3        farclient --- near --- router --- LAN

The virtual address is no kernel's, and the balancer does not answer for it, so a reply is a server's. A server counts
the requests that reach it, so that a test sees whose it was.
"""

import itertools
import re

import pytest
from lab.process import wait_until
from lab.site import VIRTUAL, Site

FAMILIES = pytest.mark.parametrize("family", (4, 6))
MODES = pytest.mark.parametrize("mode", ("nat", "full_nat"))
_identifiers = itertools.count(1000)


def start(site, family, backend_family=None, workers=1):
    """The balancer, and its listeners forward pings."""
    configuration = site.configuration(family, backend_family, workers=workers)
    for listener in configuration["listeners"]:
        listener["icmp_echo"] = "forward"
    return site.balancer(configuration).start()


def ping(node, address, *options, count=5):
    """How many requests of one identifier were answered, one after the other: in a run with several, ping waits for the
    last ones no longer than the others took."""
    command = ("ping", "-n", "-W2", "-c1", "-e", str(next(_identifiers)), *options, address)
    return sum(node.run(*command, check=False).returncode == 0 for _ in range(count))


def requests_of(backend, family):
    """Echo requests that the server's kernel has had."""
    name = "IcmpInEchos" if family == 4 else "Icmp6InEchos"
    return int(re.search(rf"^{name}\s+(\d+)", backend.node.run("nstat", "-asz", name).stdout, re.M).group(1))


@FAMILIES
@MODES
@pytest.mark.parametrize("workers", (1, 2))
def test_there_and_back(lab, mode, family, workers):
    """Each identifier has a server of its own; they share them all: of 40, one of three servers gets none once in four
    million times, of 20 it was once in a thousand."""
    site = Site(lab, mode, queues=workers)
    client = site.add_client()
    backends = site.add_backends(3)
    balancer = start(site, family, workers=workers)
    before = [requests_of(backend, family) for backend in backends]
    for _ in range(40):
        assert ping(client, VIRTUAL[family], count=3) == 3
    had = [requests_of(backend, family) - old for backend, old in zip(backends, before)]
    assert sum(had) == 120 and all(count % 3 == 0 and count > 0 for count in had), had
    balancer.stop()
    assert re.search(r"\bsessions_opened=40\b", balancer.process.output())


@FAMILIES
@MODES
@pytest.mark.parametrize("workers", (1, 2))
def test_larger_than_a_packet(lab, mode, family, workers):
    """In fragments both ways, which may arrive at the other worker."""
    site = Site(lab, mode, queues=workers)
    client = site.add_client()
    site.add_backends(2)
    start(site, family, workers=workers)
    for _ in range(5):
        assert ping(client, VIRTUAL[family], "-s", "3000", "-M", "dont") == 5


@pytest.mark.parametrize("family,backend_family", ((6, 4), (4, 6)))
def test_from_one_ip_version_to_the_other(lab, family, backend_family):
    site = Site(lab, "full_nat")
    client = site.add_client()
    backends = site.add_backends(2)
    start(site, family, backend_family)
    before = sum(requests_of(backend, backend_family) for backend in backends)
    for size in (0, 56, 57, 1400):
        assert ping(client, VIRTUAL[family], "-s", str(size)) == 5
    assert sum(requests_of(backend, backend_family) for backend in backends) - before == 20


@FAMILIES
@MODES
def test_a_path_that_gets_narrow(lab, mode, family):
    """The reply does not fit through; the server hears of it by an error that quotes it, and the next ones do."""
    site = Site(lab, mode)
    site.add_backends(2)
    client = site.add_far_client()
    start(site, family)
    size = ("-s", "1400", "-M", "dont")
    assert ping(client, VIRTUAL[family], *size) == 5
    for node, interface in ((site.router, "near0"), (client.lab.nodes[-2], "up0")):
        node.ip(f"link set dev {interface} mtu 1300")
    # Requests as well: the client's own router tells it.
    wait_until(lambda: ping(client, VIRTUAL[family], *size) == 5, "all replies to fit through", timeout=30)


@MODES
def test_an_answer_of_our_own_needs_no_server(lab, mode):
    """What stays as it was: `answer`, `drop`, and `true`."""
    site = Site(lab, mode)
    client = site.add_client()
    backend = site.add_backends(1)[0]
    configuration = site.configuration(4)
    balancer = site.balancer(configuration).start()
    before = requests_of(backend, 4)
    for word, answered in (("answer", 5), ("drop", 0), (True, 5)):
        for listener in configuration["listeners"]:
            listener["icmp_echo"] = word
        balancer.reload()
        assert ping(client, VIRTUAL[4], "-W1") == answered, word
    assert requests_of(backend, 4) == before
