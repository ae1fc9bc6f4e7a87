"""Health checks by the way of clients' packets (via: vip): who answers at its own address, and has lost the virtual one
or does not take the tunnel off, gets no new flows.

   client ---- LAN ----+---- balancer    socket -> sluice-check0 (TUN) -> sluiced -> engine -> Ethernet or a tunnel
                       |                 socket <- the kernel's own way, from the virtual address <- web1
                       '---- web1 web2   the virtual address on lo; decap where there is a tunnel
"""

import time

import pytest
from lab import clients, servers
from lab.process import best_of_three, wait_until
from lab.site import FAMILIES, TUNNELS, VIRTUAL, Site

# Seconds, as in test_health.py.
INTERVAL, TIMEOUT, RISE, FALL = 0.2, 0.15, 2, 3
SLACK = 0.1
TERMS = {"interval": "200ms", "timeout": "150ms", "rise": RISE, "fall": FALL}
PATIENT = {**TERMS, "interval": "500ms", "timeout": "450ms"}
# (forwarding, family of the virtual address, of the servers).
WAYS = [("dsr_l2", 4, 4), ("dsr_l2", 6, 6), ("ipip", 4, 4), ("ipip", 6, 6), ("ipip", 6, 4), ("gue", 4, 4),
        ("gue", 6, 6)]
DEVICE = "sluice-check"
MARK = "0x51ce"


def configuration(site, family=4, backend_family=None, check=None, via="vip", terms=None):
    made = site.configuration(family, backend_family)
    made["pools"][0]["health_check"] = {**(check or {"type": "http"}), "via": via, **(terms or PATIENT)}
    return made


def lines_of(balancer, name, words=""):
    """Those that say so of web/NAME."""
    return [line for line in balancer.process.output().splitlines()
            if f"backend web/{name} (" in line and f"): {words}" in line]


def wait_for_state(balancer, name, words, count=1):
    """The last of `count` lines that say so of web/NAME."""
    return wait_until(lambda: (lines := lines_of(balancer, name, words))[count - 1:] and lines[-1],
                      lambda: f"{count} x {name} {words}:\n{balancer.process.tail()}")


def wait_until_healthy(balancer, site):
    """At once, or again: where the first check has come too late on a busy machine."""
    for backend in site.backends:
        wait_for_state(balancer, backend.name, "healthy")


def virtual_address(backend, family, verb):
    """Adds it to lo ("add"), or takes it away ("del")."""
    backend.node.ip(f"addr {verb} {VIRTUAL[family]}/{32 if family == 4 else 128} dev lo")


def left_of_us(node):
    """Lines of interfaces, rules and routes that are ours."""
    said = [node.run("ip", *words).stdout for words in
            (("-o", "link"), ("-4", "rule"), ("-6", "rule"),
             ("-4", "route", "show", "table", "all"), ("-6", "route", "show", "table", "all"))]
    return [line for text in said for line in text.splitlines() if DEVICE in line or MARK in line]


def assert_found_out(balancer, watch, break_it, mend_it):
    """Traffic leaves web1 in time when it is broken, and returns when it is whole again."""
    def leave_and_return():
        count = len(lines_of(balancer, "web1", "unhealthy")) + 1
        begin = time.monotonic()
        break_it()
        gone = watch.left_after(begin, ["web2"])
        print(f"traffic left after {1000 * gone:.0f} ms")
        line = wait_for_state(balancer, "web1", "unhealthy, so it gets no new flows", count)
        assert "no connection within 150ms" in line and "3 checks in a row have failed" in line, line
        begin = time.monotonic()
        mend_it()
        back = watch.back_after(begin, "web1")
        print(f"traffic returned after {1000 * back:.0f} ms")
        wait_for_state(balancer, "web1", "healthy again", count)
        return gone
    limit = FALL * INTERVAL + TIMEOUT + SLACK
    assert best_of_three(leave_and_return, lambda gone: gone <= limit) <= limit


@pytest.mark.alone
@pytest.mark.parametrize("forwarding,family,backend_family", WAYS)
def test_a_server_without_the_virtual_address_is_found_out(lab, engine, forwarding, family, backend_family):
    site = Site(lab, forwarding, engine=engine)
    client = site.add_client()
    first, _ = site.add_backends(2)
    balancer = site.balancer(configuration(site, family, backend_family, terms=TERMS)).start()
    wait_until_healthy(balancer, site)
    watch = clients.HttpWatch(client, VIRTUAL[family])
    watch.back_after(time.monotonic(), "web1")
    known = lines_of(balancer, "web2")

    def lose_address():
        virtual_address(first, family, "del")
        # As a check of its own address would have it.
        answer = clients.http_requests(site.node, first.addresses[backend_family], 5)
        assert answer["spread"] == {"web1": 5}, answer
    assert_found_out(balancer, watch, lose_address, lambda: virtual_address(first, family, "add"))
    if forwarding in TUNNELS:
        def stop_decap():
            [process for process in lab.processes if process.name == "web1-decap"][-1].kill()
        assert_found_out(balancer, watch, stop_decap, lambda: site.take_tunnels_off(first.node))
    watch.stop()
    assert lines_of(balancer, "web2") == known, balancer.process.tail()
    balancer.stop()
    assert left_of_us(site.node) == []


@pytest.mark.alone
@pytest.mark.parametrize("forwarding", ("dsr_l2", "ipip", "gue"))
def test_a_server_that_sends_packets_back_is_found_out(lab, engine, forwarding):
    """It forwards, so a check of the address that it has lost comes back here, and another server would answer."""
    site = Site(lab, forwarding, engine=engine)
    client = site.add_client()
    first, _ = site.add_backends(2)
    first.node.sysctl(net__ipv4__ip_forward=1)
    balancer = site.balancer(configuration(site, terms=TERMS)).start()
    wait_until_healthy(balancer, site)
    virtual_address(first, 4, "del")
    wait_for_state(balancer, "web1", "unhealthy, so it gets no new flows")
    wait_until(lambda: set(clients.http_requests(client, VIRTUAL[4], 20)["spread"]) == {"web2"}, "web1 to be left")
    # It stays so.
    time.sleep(2 * RISE * INTERVAL)
    assert "web/web1 (203.0.113.11): healthy again" not in balancer.process.output()
    virtual_address(first, 4, "add")
    wait_for_state(balancer, "web1", "healthy again")
    balancer.stop()


CHECKS = {
    "tcp": {"type": "tcp", "send": "GET / HTTP/1.0\\r\\n\\r\\n", "expect": "200 OK"},
    "https": {"type": "https", "host": "web.example"},
    "grpc": {"type": "grpc"},
    "grpc_tls": {"type": "grpc", "tls": True, "host": "web.example"},
    "udp": {"type": "udp", "send": "how are you?", "expect": "healthy"},
}
PROTOCOLS = {"udp": "udp", "grpc": "grpc", "grpc_tls": "grpc"}


@pytest.mark.parametrize("kind", CHECKS)
def test_every_type(lab, engine, kind):
    """On a port of its own at the virtual address, where no listener is. With move a lost server has no flows at all,
    and is checked all the same."""
    site = Site(lab, "gue", engine=engine)
    site.add_client()
    first, _ = site.add_backends(2)
    check = {**CHECKS[kind], "port": servers.HEALTH_PORT}
    pem = servers.certificate(lab.folder, "web.example") if kind in ("https", "grpc_tls") else None
    if pem:
        check["ca_file"] = str(pem[0])
    health = [servers.Health(backend.node, PROTOCOLS.get(kind, "tcp"), pem) for backend in site.backends]
    made = configuration(site, check=check)
    made["pools"][0]["on_unhealthy"] = "move"
    balancer = site.balancer(made).start()
    wait_until_healthy(balancer, site)
    virtual_address(first, 4, "del")
    line = wait_for_state(balancer, "web1", "unhealthy, so it gets no new flows")
    assert ("no answer within" if kind == "udp" else "no connection within") in line, line
    virtual_address(first, 4, "add")
    wait_for_state(balancer, "web1", "healthy again")
    health[0].set("down")
    line = wait_for_state(balancer, "web1", "unhealthy, so it gets no new flows", 2)
    assert "refused" in line, line
    balancer.stop()


def test_nothing_is_left_behind(lab, engine):
    """The interface and its rules come with a reload that asks for them and go with one that does not; they go at the
    end, and what a killed instance could not take away goes at the next start."""
    site = Site(lab, engine=engine)
    site.add_client()
    first, _ = site.add_backends(2)
    balancer = site.balancer(configuration(site, via="backend")).start()
    wait_until_healthy(balancer, site)
    assert left_of_us(site.node) == []
    check = balancer.configuration["pools"][0]["health_check"]
    for turn in (1, 2):
        check["via"] = "vip"
        assert "generation=" in balancer.reload()
        # Two rules of the family that is checked, and a route.
        assert len([line for line in left_of_us(site.node) if "fwmark" in line]) == 2, left_of_us(site.node)
        virtual_address(first, 4, "del")
        wait_for_state(balancer, "web1", "unhealthy, so it gets no new flows", turn)
        check["via"] = "backend"
        assert "generation=" in balancer.reload()
        assert left_of_us(site.node) == []
        wait_for_state(balancer, "web1", "healthy again", turn)
        virtual_address(first, 4, "add")
    check["via"] = "vip"
    assert "generation=" in balancer.reload()
    balancer.kill()
    assert any("fwmark" in line for line in left_of_us(site.node)), "of a killed one rules are left"
    check["via"] = "backend"
    balancer.start()
    assert left_of_us(site.node) == []
    balancer.stop()


def test_the_kernel_keeps_its_own_ways(lab, engine):
    """Nothing else of the node goes by the interface: it has no address, and no packet without the mark comes to it.
    A strict kernel takes the answers, as the virtual address is on the link that they come from."""
    site = Site(lab, engine=engine)
    site.add_client()
    site.node.sysctl(net__ipv4__conf__all__rp_filter=1)
    first, _ = site.add_backends(2)
    balancer = site.balancer(configuration(site)).start()
    wait_until_healthy(balancer, site)
    assert site.node.run("ip", "-o", "addr", "show", "dev", f"{DEVICE}0").stdout == ""
    for family in FAMILIES:
        for address in (VIRTUAL[family], first.addresses[family]):
            assert "dev eth0" in site.node.run("ip", "route", "get", address).stdout
    balancer.stop()
