"""Agents on the servers: what they say changes what their backends get.

   client ---- LAN ----+---- balancer   asks AGENT_PORT of each
                       '---- web1 web2  port 80: nginx; AGENT_PORT: an agent that says what the test wants
"""

import json
import time

import pytest
from lab import clients, servers
from lab.process import wait_until
from lab.site import VIRTUAL, Site

AGENT = {"port": servers.AGENT_PORT, "interval": "200ms", "timeout": "150ms"}


def spread(client, version, requests=100):
    answer = clients.http_requests(client, VIRTUAL[version], requests)
    assert answer["failed"] == 0, answer
    return answer["spread"]


def backend(balancer, name):
    """As `sluicectl health` shows it."""
    made = json.loads(balancer.ctl("health", "-o", "json").stdout)
    return next(one for one in made["pools"][0]["backends"] if one["name"] == name)


def start(site, version, **keys):
    """A balancer whose pool has these keys and agents that say "up", and the agents."""
    agents = [servers.Agent(one.node, "up") for one in site.backends]
    made = site.configuration(version)
    made["pools"][0].update({"agent": AGENT, **keys})
    balancer = site.balancer(made).start()
    wait_until(lambda: balancer.process.output().count(" answers") >= 2, "the first answers")
    return balancer, agents


@pytest.mark.parametrize("version", (4, 6))
def test_a_percentage_and_each_word(lab, engine, version):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    balancer, agents = start(site, version)
    held = clients.HeldConnections(client, VIRTUAL[version], 40, timeout=4)
    assert set(held.first["spread"]) == {"web1", "web2"}

    agents[0].say("25%")
    wait_until(lambda: spread(client, version, 1_000)["web1"] < 260, "a share of a fifth")
    shown = backend(balancer, "web1")
    assert shown["condition"] == "READY" and '25 % of its weight by its agent: "25%"' in shown["reason"], shown
    # 200 with a standard deviation of 13.
    assert 120 < spread(client, version, 1_000)["web1"] < 280

    for line, condition, reason in (
            ("drain # backup", "DRAIN", 'drained by its agent: "drain # backup"'),
            ("ready down # disk full", "UNHEALTHY", 'down by its agent: "ready down # disk full"'),
            ("up 0%", "NO_WEIGHT", 'no weight by its agent: "up 0%"')):
        begin = time.monotonic()
        agents[0].say(line)
        wait_until(lambda condition=condition: backend(balancer, "web1")["condition"] == condition, line)
        print(f"{engine}: {line}: after {1000 * (time.monotonic() - begin):.0f} ms")
        shown = backend(balancer, "web1")
        assert shown["reason"] == reason and shown["since"], shown
        assert spread(client, version) == {"web2": 100}
        answer = held.ask()
        assert (answer["broken"], answer["moved"]) == ({}, 0), answer

    agents[0].say("100%")
    wait_until(lambda: 400 < spread(client, version, 1_000).get("web1", 0) < 600, "a half")
    assert backend(balancer, "web1")["reason"] == ""

    # As if it were not there: its connections are reset by the other server, or end here.
    agents[0].say("maint")
    wait_until(lambda: backend(balancer, "web1")["condition"] == "DISABLED", "maint")
    assert spread(client, version) == {"web2": 100}
    assert sum(held.ask()["broken"].values()) == held.first["spread"]["web1"]
    agents[0].say("ready")
    wait_until(lambda: 400 < spread(client, version, 1_000).get("web1", 0) < 600, "a half again")
    balancer.stop()


def test_an_agent_that_is_gone_or_talks_nonsense_changes_nothing(lab, engine):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    balancer, agents = start(site, 4)
    agents[0].say("drain")
    wait_until(lambda: set(spread(client, 4)) == {"web2"}, "web1 to be drained")
    agents[0].say("HTTP/1.1 400 Bad Request")
    wait_until(lambda: ") has no answer, so what it said last goes on to count" in balancer.process.output(), "the log")
    assert 'says "HTTP/1.1 400 Bad Request", which is none of' in balancer.process.output()
    agents[1].say("")
    wait_until(lambda: "no line within 150ms" in balancer.process.output(), "web2's agent to be told of")
    agents[1].kill()
    wait_until(lambda: "refused" in backend(balancer, "web2")["agent"]["last"]["reason"], "web2's agent to be gone")
    assert set(spread(client, 4)) == {"web2"}
    shown = backend(balancer, "web1")
    assert shown["condition"] == "DRAIN" and shown["agent"]["last"]["outcome"] == "FAILED", shown
    # Without an agent nothing of it counts any more.
    del balancer.configuration["pools"][0]["agent"]
    assert "generation=" in balancer.reload()
    assert set(spread(client, 4)) == {"web1", "web2"}
    balancer.stop()
