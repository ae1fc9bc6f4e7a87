"""Real clients through the balancer to real servers, for every engine, forwarding mode and family.

   client ----+---- LAN ----+---- balancer (sluiced on eth0)
              |             |
              '--- web1 web2 web3 (nginx, dnsmasq, iperf3; decap for ipip and gue)

Servers have the virtual address on lo and answer the client themselves, with that as their source. With nat and
full_nat they do not have it, and answers come back through the balancer.
"""

import re

import pytest
from lab import clients, servers
from lab.process import best_of_three
from lab.site import TUNNELS, VIRTUAL, Site

MODES = ("dsr_l2", "ipip", "gue", "nat", "full_nat")
CASES = [(engine, mode, family) for engine in ("dpdk", "xdp") for mode in MODES for family in (4, 6)]


class Traffic:
    """One balancer that serves, with its client; for all tests of one mode and family."""

    def __init__(self, lab, engine, mode, family, files):
        self.mode, self.family = mode, family
        self.address = VIRTUAL[family]
        self.site = Site(lab, mode, engine=engine)
        self.client = self.site.add_client()
        for backend in self.site.add_backends(3, files):
            servers.upload(backend.node)
            servers.udp_echo(backend.node, *backend.serves.values())
            servers.dns(backend.node, *backend.serves.values())
            servers.iperf(backend.node, backend.serves[family])
        self.balancer = self.site.balancer(self.site.configuration(family)).start()


@pytest.fixture(scope="module", params=CASES, ids=[f"{engine}-{mode}-ipv{family}" for engine, mode, family in CASES])
def traffic(request, new_lab, large_file):
    with new_lab("-".join(str(part) for part in request.param)) as lab:
        made = Traffic(lab, *request.param, large_file[0].parent)
        yield made
        made.balancer.stop()


def test_ten_thousand_requests(traffic):
    answer = clients.http_requests(traffic.client, traffic.address, 10_000)
    assert (answer["requests"], answer["failed"]) == (10_000, 0), answer
    assert set(answer["spread"]) == {"web1", "web2", "web3"}
    # Three even shares of 10,000: 3,333 with a standard deviation of 47.
    assert all(3_000 < requests < 3_700 for requests in answer["spread"].values()), answer


def test_many_requests_on_each_connection(traffic):
    ran = traffic.client.run("wrk", "-t1", "-c30", "-d2s", clients.url(traffic.address))
    assert int(re.search(r"(\d+) requests in", ran.stdout).group(1)) > 100, ran.stdout
    assert "Socket errors" not in ran.stdout and "Non-2xx" not in ran.stdout, ran.stdout


def test_large_download_is_intact(traffic, large_file):
    path, digest = large_file
    assert clients.download(traffic.client, traffic.address, path.name) == digest


def test_large_upload_is_intact(traffic, large_file):
    """In a tunnel, full-size segments are too big: the client has to be told, by the balancer."""
    path, digest = large_file
    name, received = clients.upload(traffic.client, traffic.address, path)
    assert name in ("web1", "web2", "web3")
    assert received == digest


def test_iperf_tcp(traffic):
    report = clients.iperf(traffic.client, traffic.address)
    assert report["sum_received"]["bits_per_second"] > 10e6


def socket_overflows(node):
    """UDP packets that reached the host, but found the buffer of their socket full."""
    shown = node.run("nstat", "-asz", "UdpRcvbufErrors", "Udp6RcvbufErrors").stdout
    return sum(int(n) for n in re.findall(r"RcvbufErrors\s+(\d+)", shown))


def iperf_udp_loss(traffic):
    """Share of 2 s of packets that was lost on the way; what a busy iperf3 does not fetch in time is its own."""
    server = traffic.site.backends[0].node
    before = socket_overflows(server)
    report = clients.iperf(traffic.client, traffic.address, "-u", "-b", "10M", "-l", "1200")["sum"]
    assert report["packets"] > 1_000
    return (report["lost_packets"] - (socket_overflows(server) - before)) / report["packets"]


def test_iperf_udp(traffic):
    """Less than one packet in a hundred is lost; in the best of three, as other work on this machine can stop every
    program of the lab for longer than a veth has room for."""
    assert best_of_three(lambda: iperf_udp_loss(traffic), lambda loss: loss < 0.01) < 0.01


def test_dns_over_udp_and_tcp(traffic):
    names = set()
    for extra in ["+notcp"] * 20 + ["+tcp"] * 5:
        ran = traffic.client.run("dig", "+short", "+tries=2", "+timeout=5", extra, f"@{traffic.address}",
                                 servers.DNS_NAME, "TXT")
        names.add(ran.stdout.strip().strip('"'))
    assert names <= {"web1", "web2", "web3"} and len(names) > 1


def test_dns_load(traffic):
    queries = traffic.site.lab.folder / "queries"
    queries.write_text("host.example A\n")

    def ask():
        return traffic.client.run("dnsperf", "-s", traffic.address, "-d", queries, "-n", "2000", "-c", "20",
                                  "-q", "20").stdout

    def all_answered(said):
        return re.search(r"Queries completed:\s+2000 ", said) and re.search(r"Queries lost:\s+0 ", said)
    said = best_of_three(ask, all_answered)
    assert all_answered(said), said


def test_small_udp(traffic):
    names = clients.udp_echo(traffic.client, traffic.address, 100, count=30)
    assert len(names) > 1


def test_fragmented_udp(traffic):
    """4,000 bytes are three fragments, of which the first alone has ports. In a tunnel the first try tells the client
    the size that fits, so it may take two."""
    attempts = 2 if traffic.mode in TUNNELS else 1
    names = clients.udp_echo(traffic.client, traffic.address, 4_000, count=30, attempts=attempts)
    assert len(names) > 1


def test_echo_to_the_virtual_address(traffic):
    def ping():
        return traffic.client.run("ping", "-q", "-c", "20", "-i", "0.02", "-W", "2", traffic.address,
                                  check=False).stdout
    said = best_of_three(ping, lambda said: " 20 received" in said)
    assert " 20 received" in said, said
