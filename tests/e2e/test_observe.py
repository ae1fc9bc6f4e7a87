"""Servers whose checks pass while their clients' flows fail: found out by what clients' packets meet.

   client ---- LAN ----+---- balancer        checks HEALTH_PORT, which goes on answering
                       '---- web1 web2 web3  port 80: nginx; web1's is killed, or no SYN gets to it
"""

import itertools
import json
import time

import pytest
from lab import clients, servers
from lab.process import best_of_three, wait_until
from lab.site import VIRTUAL, Site

MODES = pytest.mark.parametrize("mode", ("nat", "full_nat"))
CHECK = {"type": "tcp", "port": servers.HEALTH_PORT, "interval": "200ms", "timeout": "150ms", "rise": 2, "fall": 3}
DOWN = "backend web/web1 (203.0.113.11): unhealthy, so it gets no new flows: observed: "
UP = "backend web/web1 (203.0.113.11): healthy again"
# Of an interval each; as long as a test takes to see that nobody is sent to web1.
LONG_RISE = 25

# Requests under way go on.
DROP = f"""table inet silent {{
  chain input {{ type filter hook input priority 0; tcp dport {servers.WEB_PORT} tcp flags & (syn | ack) == syn drop; }}
}}"""


def start(lab, engine, mode, **check):
    """A site with a balancer that observes, and knows that all servers are well."""
    site = Site(lab, mode, engine=engine)
    site.client = site.add_client()
    for backend in site.add_backends(3):
        servers.Health(backend.node)
    made = site.configuration()
    made["pools"][0]["health_check"] = {**CHECK, "observe": {"minimum_failed": 10}, **check}
    balancer = site.balancer(made).start()
    for backend in site.backends:
        wait_for_log(balancer, f"backend web/{backend.name} ({backend.addresses[4]}): healthy")
    return site, balancer


def wait_for_log(balancer, text, count=1, timeout=15):
    def lines():
        return [line for line in balancer.process.output().splitlines() if text in line]
    wait_until(lambda: len(lines()) >= count,
               lambda: f"{count} x {text!r} in the log:\n{balancer.process.tail()}", timeout)
    return lines()[count - 1]


def counted(balancer):
    """{server: (answered, failed)}"""
    pools = json.loads(balancer.ctl("list", "--stats", "-o", "json").stdout)["pools"]
    return {backend["name"]: (int(backend["answered_flows"]), int(backend["failed_flows"]))
            for pool in pools if pool["name"] == "web" for backend in pool["backends"]}


def kill_web(lab):
    [process for process in lab.processes if process.name == "web1-nginx"][-1].kill()


@pytest.mark.alone
@MODES
def test_a_server_that_refuses(lab, engine, mode):
    site, balancer = start(lab, engine, mode, rise=LONG_RISE)
    # What is lost is sent again after a second.
    watch = clients.HttpWatch(site.client, VIRTUAL[4], timeout=4)
    watch.back_after(time.monotonic(), "web1")
    numbers = itertools.count(1)

    def leave_and_return():
        number = next(numbers)
        kill_web(lab)
        begin = time.monotonic()
        gone = watch.left_after(begin, ["web2", "web3"], quiet=1)
        print(f"{engine} {mode} refused: traffic left after {1000 * gone:.0f} ms")
        line = wait_for_log(balancer, DOWN, number)
        assert "new flows refused or not answered" in line, line
        answered = counted(balancer)
        assert answered["web1"][1] >= 10 and answered["web1"][0] > 0
        assert answered["web2"][1] == answered["web3"][1] == 0 and answered["web2"][0] > answered["web1"][0]
        servers.web(site.backends[0].node)
        # One that has flapped has to pass more checks.
        wait_for_log(balancer, UP, number, timeout=60)
        watch.back_after(time.monotonic(), "web1")
        return gone
    assert best_of_three(leave_and_return, lambda gone: gone <= 2.2) <= 2.2
    again = time.monotonic()
    wait_until(lambda: len(watch.requests(again)) > 150, "requests of all")
    watch.stop()
    failed = [words for _, _, words in watch.requests(again) if words not in ("web1", "web2", "web3")]
    assert failed == []
    assert balancer.process.output().count(DOWN) == next(numbers) - 1
    balancer.stop()


@pytest.mark.alone
@MODES
def test_a_server_that_does_not_answer(lab, engine, mode):
    """Clients that it has not answered get another one when they send their SYN again."""
    site, balancer = start(lab, engine, mode, rise=LONG_RISE)
    watch = clients.HttpWatch(site.client, VIRTUAL[4], timeout=8)
    watch.back_after(time.monotonic(), "web1")
    numbers = itertools.count(1)

    def leave_and_return():
        number = next(numbers)
        site.backends[0].node.run("nft", "-f", "-", stdin=DROP)
        begin = time.monotonic()
        wait_for_log(balancer, DOWN, number)
        gone = time.monotonic() - begin
        print(f"{engine} {mode} silent: found out after {1000 * gone:.0f} ms")
        assert counted(balancer)["web2"][1] == 0
        time.sleep(0.1)
        since = time.monotonic()
        wait_until(lambda: len(watch.requests(since)) > 50, "requests of others")
        assert {words for _, _, words in watch.requests(since)} == {"web2", "web3"}
        site.backends[0].node.run("nft", "delete", "table", "inet", "silent")
        wait_for_log(balancer, UP, number, timeout=60)
        watch.back_after(time.monotonic(), "web1")
        return gone
    # SYNs come again after 1 s, which is another tick for some of them within 2.1 s more, and a second is looked at.
    assert best_of_three(leave_and_return, lambda gone: gone <= 5) <= 5
    watch.stop()
    assert [words for _, _, words in watch.requests() if "failed" in words] == []
    balancer.stop()


@pytest.mark.alone
def test_one_that_goes_on_failing_is_tried_less_and_less(lab, engine):
    site, balancer = start(lab, engine, "nat")
    watch = clients.HttpWatch(site.client, VIRTUAL[4])
    watch.back_after(time.monotonic(), "web1")
    kill_web(lab)
    for flaps, needed in ((1, 4), (2, 8), (3, 16)):
        line = wait_for_log(balancer, DOWN, flaps + 1)
        assert f"it has flapped {flaps} time{'s' if flaps > 1 else ''}, so {needed} in a row have to pass" in line, line
    servers.web(site.backends[0].node)
    wait_for_log(balancer, UP, 4)
    watch.back_after(time.monotonic(), "web1")
    watch.stop()
    balancer.stop()
