"""Health checks of every type against servers that fail, hang, answer wrongly and recover, under requests.

   client ---- LAN ----+---- balancer        checks HEALTH_PORT of web1 and web2
                       '---- web1 web2       port 80: nginx; HEALTH_PORT: what checks ask, as the test wants it
"""

import itertools
import signal
import time

import pytest
from lab import clients, servers
from lab.process import best_of_three, wait_until
from lab.site import VIRTUAL, Site

# Seconds. What the tests promise goes by them.
INTERVAL, TIMEOUT, RISE, FALL = 0.2, 0.15, 2, 3
SLACK = 0.1
LEAVES = FALL * INTERVAL + TIMEOUT + SLACK
# One request in two goes to a server that is back, and a new process takes its time to listen.
RETURNS = RISE * INTERVAL + TIMEOUT + 0.5
TERMS = {"interval": "200ms", "timeout": "150ms", "rise": RISE, "fall": FALL}
# Where other tests run beside, and nobody looks at times.
PATIENT = {**TERMS, "interval": "500ms", "timeout": "450ms"}
CHECKS = {
    "tcp": {"type": "tcp", "port": servers.HEALTH_PORT, "send": "GET / HTTP/1.0\\r\\n\\r\\n", "expect": "200 OK"},
    "script": {"type": "tcp", "port": servers.HEALTH_PORT,
               "script": [{"send": "GET / HTTP/1.0\\r\\n\\r\\n", "expect": "200 OK"}, {"expect": "healthy"}]},
    "http": {"type": "http", "port": servers.HEALTH_PORT, "path": "/health", "expect_body": "healthy"},
    "https": {"type": "https", "port": servers.HEALTH_PORT, "host": "web.example"},
    "grpc": {"type": "grpc", "port": servers.HEALTH_PORT, "service": "shop.Cart"},
    "grpc_tls": {"type": "grpc", "port": servers.HEALTH_PORT, "tls": True, "host": "web.example"},
    "udp": {"type": "udp", "port": servers.HEALTH_PORT, "send": "\\x00how are you?", "expect": "healthy"},
}
PROTOCOLS = {"udp": "udp", "grpc": "grpc", "grpc_tls": "grpc"}
REASONS = {
    ("tcp", "down"): "refused", ("tcp", "hang"): "no expected answer within 150ms",
    ("tcp", "wrong"): "closed after 61 bytes without the expected answer",
    ("script", "down"): "refused", ("script", "hang"): "no expected answer of step 1 within 150ms",
    ("script", "wrong"): "closed after 61 bytes without the expected answer of step 1",
    ("http", "down"): "refused", ("http", "hang"): "no answer within 150ms", ("http", "wrong"): "answered 500",
    ("https", "down"): "refused", ("https", "hang"): "no TLS handshake within 150ms",
    ("https", "wrong"): "answered 500",
    ("grpc", "down"): "refused", ("grpc", "hang"): "no answer within 150ms",
    ("grpc", "wrong"): "answered NOT_SERVING; expected SERVING",
    ("grpc_tls", "down"): "refused", ("grpc_tls", "hang"): "no answer within 150ms",
    ("grpc_tls", "wrong"): "answered NOT_SERVING; expected SERVING",
    ("udp", "down"): "refused", ("udp", "hang"): "no answer within 150ms", ("udp", "wrong"): "not as expected",
}


def configuration(site, check, terms=None, **more):
    made = site.configuration(4)
    pool = made["pools"][0]
    pool["health_check"] = {**check, **(terms or PATIENT)}
    pool.update(more)
    return made


def log_lines(balancer, text):
    return [line for line in balancer.process.output().splitlines() if text in line]


def wait_for_log(balancer, text, count=1, timeout=10):
    wait_until(lambda: len(log_lines(balancer, text)) >= count,
               lambda: f"{count} x {text!r} in the log:\n{balancer.process.tail()}", timeout)
    return log_lines(balancer, text)[-1]


def wait_until_healthy(balancer, site):
    for backend in site.backends:
        wait_for_log(balancer, f"backend web/{backend.name} ({backend.addresses[4]}): healthy")


def in_time(times):
    """Whether traffic has left and, where that was looked at, returned in time."""
    return all(seconds <= limit for seconds, limit in zip(times, (LEAVES, RETURNS)))


def assert_in_time(what, seconds, limit):
    print(f"{what}: {1000 * seconds:.0f} ms (at most {1000 * limit:.0f} ms)")
    assert seconds <= limit, f"{what}: {seconds:.3f} s"


@pytest.mark.alone
@pytest.mark.parametrize("kind", CHECKS)
def test_traffic_leaves_a_server_whose_check_fails_and_returns(lab, engine, kind):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    check = dict(CHECKS[kind])
    pem = servers.certificate(lab.folder, "web.example") if kind in ("https", "grpc_tls") else None
    if pem:
        check["ca_file"] = str(pem[0])
    health = [servers.Health(backend.node, PROTOCOLS.get(kind, "tcp"), pem) for backend in site.backends]
    balancer = site.balancer(configuration(site, check, TERMS)).start()
    wait_until_healthy(balancer, site)
    # What is lost is sent again after a second.
    watch = clients.HttpWatch(client, VIRTUAL[4], timeout=4)
    watch.back_after(time.monotonic(), "web1")
    numbers = itertools.count(1)

    def leave_and_return(mode):
        number = next(numbers)
        begin = time.monotonic()
        health[0].set(mode)
        gone = watch.left_after(begin, ["web2"], quiet=1)
        line = wait_for_log(balancer, "backend web/web1 (203.0.113.11): unhealthy, so it gets no new flows", number)
        assert REASONS[kind, mode] in line and "3 checks in a row have failed" in line, line
        begin = time.monotonic()
        health[0].set("ok")
        back = watch.back_after(begin, "web1")
        wait_for_log(balancer, "backend web/web1 (203.0.113.11): healthy again", number)
        return gone, back
    for mode in ("down", "hang", "wrong"):
        gone, back = best_of_three(lambda mode=mode: leave_and_return(mode), in_time)
        assert_in_time(f"{engine} {kind} {mode}: traffic left after", gone, LEAVES)
        assert_in_time(f"{engine} {kind} {mode}: traffic returned after", back, RETURNS)
    watch.stop()
    failed = [words for _, _, words in watch.requests() if words not in ("web1", "web2")]
    assert failed == [], "the servers of the clients were well all the time"
    balancer.stop()


@pytest.mark.alone
def test_pings(lab, engine):
    """icmp, of both families."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    made = configuration(site, {"type": "icmp"}, TERMS)
    made["pools"][0]["backends"].append({"name": "six", "address": site.backends[0].addresses[6], "weight": 0})
    made["pools"][0]["forwarding"] = "dsr_l2"
    # A pool of its own for the other family.
    made["pools"].append({"name": "six", "health_check": {"type": "icmp", **TERMS},
                          "backends": [made["pools"][0]["backends"].pop()]})
    balancer = site.balancer(made).start()
    wait_until_healthy(balancer, site)
    wait_for_log(balancer, "backend six/six (2001:db8::11): healthy: echo reply")
    watch = clients.HttpWatch(client, VIRTUAL[4])
    watch.back_after(time.monotonic(), "web1")
    numbers = itertools.count(1)

    def leave_and_return():
        number = next(numbers)
        begin = time.monotonic()
        site.backends[0].node.sysctl(net__ipv4__icmp_echo_ignore_all=1, net__ipv6__icmp__echo_ignore_all=1)
        gone = watch.left_after(begin, ["web2"])
        for name in ("web/web1 (203.0.113.11)", "six/six (2001:db8::11)"):
            line = wait_for_log(balancer, f"backend {name}: unhealthy", number)
            assert "no echo reply within 150ms" in line, line
        wait_for_log(balancer, "pool six: all of its backends are unhealthy; they are used as if they were healthy",
                     number)
        begin = time.monotonic()
        site.backends[0].node.sysctl(net__ipv4__icmp_echo_ignore_all=0, net__ipv6__icmp__echo_ignore_all=0)
        back = watch.back_after(begin, "web1")
        wait_for_log(balancer, "pool six: not all of its backends are unhealthy any more", number)
        return gone, back
    gone, back = best_of_three(leave_and_return, in_time)
    assert_in_time(f"{engine} icmp: traffic left after", gone, LEAVES)
    assert_in_time(f"{engine} icmp: traffic returned after", back, RETURNS)


@pytest.mark.alone
def test_nginx_that_hangs_and_ends(lab, engine):
    """The server of clients and checks is one: requests fail until it is found out, and none after that."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    balancer = site.balancer(configuration(site, {"type": "http"}, TERMS)).start()
    wait_until_healthy(balancer, site)
    watch = clients.HttpWatch(client, VIRTUAL[4])
    watch.back_after(time.monotonic(), "web1")
    node = site.backends[0].node
    numbers = itertools.count(1)

    def leave_and_return(stop, go_on, reason):
        nginx = [process for process in lab.processes if process.name == "web1-nginx"][-1]
        begin = time.monotonic()
        stop(nginx)
        gone = watch.left_after(begin, ["web2"])
        assert reason in wait_for_log(balancer, "web/web1 (203.0.113.11): unhealthy", next(numbers))
        go_on(nginx)
        watch.back_after(time.monotonic(), "web1")
        return gone,
    for what, *how in (
            # The kernel would have answered for as long as nginx hung.
            ("hangs", lambda nginx: nginx.signal(signal.SIGSTOP), lambda nginx: nginx.signal(signal.SIGCONT),
             "no answer within 150ms"),
            ("ends", lambda nginx: nginx.kill(), lambda _: servers.web(node), "refused")):
        gone, = best_of_three(lambda how=how: leave_and_return(*how), in_time)
        assert_in_time(f"{engine} nginx {what}: traffic left after", gone, LEAVES)


@pytest.mark.alone
def test_dns(lab, engine):
    """dnsmasq, asked for a name over UDP and connected to over TCP."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    processes = [servers.dns(backend.node, backend.addresses[4]) for backend in site.backends]
    query = r"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\003who\007example\x00\x00\x10\x00\x01"
    made = configuration(site, {"type": "udp", "port": 53, "send": query, "expect": r"\x12\x34\x85\x80"}, TERMS)
    made["pools"][1]["health_check"] = {"type": "tcp", "port": 53, **TERMS}
    balancer = site.balancer(made).start()
    wait_until_healthy(balancer, site)
    wait_for_log(balancer, "backend one/web1 (203.0.113.11): healthy: connected")
    watch = clients.HttpWatch(client, VIRTUAL[4])
    watch.back_after(time.monotonic(), "web1")
    numbers = itertools.count(1)

    def leave_and_return():
        begin = time.monotonic()
        processes[0].signal(signal.SIGSTOP)
        gone = watch.left_after(begin, ["web2"])
        wait_for_log(balancer, "backend web/web1 (203.0.113.11): unhealthy", next(numbers))
        # Its kernel takes connections all the same.
        assert log_lines(balancer, "backend one/web1 (203.0.113.11): unhealthy") == []
        processes[0].signal(signal.SIGCONT)
        watch.back_after(time.monotonic(), "web1")
        return gone,
    gone, = best_of_three(leave_and_return, in_time)
    assert_in_time(f"{engine} dnsmasq hangs: traffic left after", gone, LEAVES)
    processes[0].kill()
    wait_for_log(balancer, "backend web/web1 (203.0.113.11): unhealthy", next(numbers))
    wait_for_log(balancer, "backend one/web1 (203.0.113.11): unhealthy")


@pytest.mark.parametrize("engine,forwarding", [
    ("dpdk", "dsr_l2"), ("dpdk", "ipip"), ("dpdk", "nat"), ("xdp", "dsr_l2"), ("xdp", "ipip"),
    ("xdp", "nat")])
@pytest.mark.parametrize("choice", ("keep", "move"))
def test_established_flows_stay_or_move(lab, engine, forwarding, choice):
    """With keep each is served on; with move those of the unhealthy server end, as when it is removed. With nat
    answers to checks stay with the kernel, and answers to clients are translated."""
    site = Site(lab, forwarding, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    health = [servers.Health(backend.node) for backend in site.backends]
    balancer = site.balancer(configuration(site, CHECKS["http"], on_unhealthy=choice)).start()
    wait_until_healthy(balancer, site)
    held = clients.HeldConnections(client, VIRTUAL[4], 60, timeout=4)
    assert set(held.first["spread"]) == {"web1", "web2"}
    health[0].set("wrong")
    wait_for_log(balancer, "backend web/web1 (203.0.113.11): unhealthy")
    wait_until(lambda: set(clients.http_requests(client, VIRTUAL[4], 50)["spread"]) == {"web2"}, "web1 to be left")
    answer = held.ask()
    assert answer["moved"] == 0, answer
    broken = 0 if choice == "keep" else held.first["spread"]["web1"]
    assert sum(answer["broken"].values()) == broken, answer
    assert answer["spread"]["web2"] == held.first["spread"]["web2"]
    health[0].set("ok")
    wait_for_log(balancer, "backend web/web1 (203.0.113.11): healthy again")
    answer = clients.http_requests(client, VIRTUAL[4], 200)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2"}, answer
    balancer.stop()


@pytest.mark.parametrize("forwarding", ("nat", "full_nat"))
def test_sessions_of_an_unhealthy_server_are_reset(lab, engine, forwarding):
    """Both ends hear it at once, though neither of them says anything; the other server's clients notice nothing."""
    site = Site(lab, forwarding, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    health = [servers.Health(backend.node) for backend in site.backends]
    balancer = site.balancer(configuration(site, CHECKS["http"], on_unhealthy="reset")).start()
    wait_until_healthy(balancer, site)
    held = clients.HeldConnections(client, VIRTUAL[4], 60, timeout=4)
    spread = held.first["spread"]
    assert set(spread) == {"web1", "web2"}
    health[0].set("wrong")
    wait_for_log(balancer, "backend web/web1 (203.0.113.11): unhealthy")
    begin = time.monotonic()
    wait_for_log(balancer, f"unhealthy, so {spread['web1']} sessions are ended")
    for node, mine, count in ((client, f"dst {VIRTUAL[4]}:80", spread["web2"]),
                              (site.backends[0].node, f"sport {servers.WEB_PORT}", 0)):
        wait_until(lambda: len(node.run("ss", "-Htn", "state", "established", *mine.split()).stdout.splitlines())
                   == count, f"{count} established at {node.name}")
    print(f"{engine} {forwarding}: {spread['web1']} sessions reset within {time.monotonic() - begin:.2f} s")
    answer = held.ask()
    assert answer["spread"] == {"web2": spread["web2"]} and answer["moved"] == 0, answer
    assert sum(answer["broken"].values()) == spread["web1"], answer
    assert not any("timed out" in reason for reason in answer["broken"]), answer
    assert set(clients.http_requests(client, VIRTUAL[4], 50)["spread"]) == {"web2"}
    balancer.stop()


@pytest.mark.parametrize("choice", ("fail_open", "fail_closed"))
def test_all_unhealthy(lab, engine, choice):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    health = [servers.Health(backend.node) for backend in site.backends]
    balancer = site.balancer(configuration(site, CHECKS["http"], when_all_unhealthy=choice)).start()
    wait_until_healthy(balancer, site)
    for one in health:
        one.set("wrong")
    wait_for_log(balancer, "pool web: all of its backends are unhealthy")
    if choice == "fail_open":
        answer = clients.http_requests(client, VIRTUAL[4], 200)
        assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2"}, answer
    else:
        wait_until(lambda: clients.http_requests(client, VIRTUAL[4], 5, timeout=0.5)["failed"] == 5, "drops")
    for one in health:
        one.set("ok")
    wait_for_log(balancer, "healthy again", 2)
    answer = clients.http_requests(client, VIRTUAL[4], 200)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2"}, answer
    balancer.stop()
    totals = log_lines(balancer, "totals:")[0]
    assert ("no_backend=" in totals) == (choice == "fail_closed"), totals


def test_a_start_and_a_reload_with_a_dead_server(lab, engine):
    """The first check settles it; a reload knows what was known, and a server that is new is used at once."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(3)
    health = [servers.Health(backend.node) for backend in site.backends]
    health[0].set("down")
    made = configuration(site, CHECKS["http"])
    third = made["pools"][0]["backends"].pop()
    balancer = site.balancer(made).start()
    line = wait_for_log(balancer, "backend web/web1 (203.0.113.11): unhealthy")
    assert "refused" in line and "in a row" not in line, line
    wait_for_log(balancer, "backend web/web2 (203.0.113.12): healthy")
    load = clients.HttpLoad(client, VIRTUAL[4])
    for fall in (2, 4):
        made["pools"][0]["health_check"]["fall"] = fall
        assert "generation=" in balancer.reload()
    made["pools"][0]["backends"].append(third)
    assert "generation=" in balancer.reload()
    wait_for_log(balancer, "backend web/web3 (203.0.113.13): healthy")
    answer = load.stop()
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web2", "web3"}, answer
    assert len(log_lines(balancer, "backend web/web1")) == 1, balancer.process.tail()
    # Without its check it is used again.
    del made["pools"][0]["health_check"]
    assert "generation=" in balancer.reload()
    assert set(clients.http_requests(client, VIRTUAL[4], 200)["spread"]) == {"web1", "web2", "web3"}


def test_files_of_https_checks_are_read_before_anything_changes(lab):
    site = Site(lab)
    site.add_backends(1)
    balancer = site.balancer(configuration(site, {"type": "http"})).start()
    balancer.configuration["pools"][0]["health_check"] = {"type": "https", "ca_file": "/nowhere/ca.pem"}
    answer = balancer.reload()
    assert "reload refused" in answer and "/nowhere/ca.pem cannot be used (No such file" in answer, answer
    wait_for_log(balancer, "backend web/web1 (203.0.113.11): healthy")
