"""Looking at single flows, and at what happens, while there is traffic.

   client ---- LAN ----+---- balancer
                       '---- web1 web2 web3
"""

import json
import threading

import pytest
from lab import clients
from lab.api_client import ApiClient
from lab.balancer import SLUICECTL
from lab.process import wait_until
from lab.site import VIRTUAL, Site

CLIENT = "203.0.113.100"


def made(lab, engine, forwarding="dsr_l2", family=4):
    site = Site(lab, forwarding, engine=engine)
    site.client = site.add_client()
    site.add_backends(3)
    return site, site.balancer(site.configuration(family)).start()


def flows(balancer, *words):
    return json.loads(balancer.ctl("flows", *words, "-o", "json").stdout)["flows"]


def open_ports(client, family=4):
    """Source ports of the client's connections to the virtual address, by the client's own kernel."""
    virtual = f"[{VIRTUAL[family]}]" if family == 6 else VIRTUAL[family]
    listed = client.run("ss", "-Htn", "state", "established", "dst", f"{virtual}:80").stdout
    return [int(line.split()[2].rpartition(":")[2]) for line in listed.splitlines()]


def test_flows_are_listed_found_and_explained(lab, engine):
    """Direct server return: an entry does not know its client, and is found by it all the same."""
    site, balancer = made(lab, engine)
    held = clients.HeldConnections(site.client, VIRTUAL[4], 60)
    spread = held.first["spread"]
    listed = flows(balancer, "list", "web")
    assert {name: sum(flow["backend"] == name for flow in listed) for name in spread} == spread
    assert len(flows(balancer, "list", "web/web1")) == spread["web1"]
    limited = balancer.ctl("flows", "list", "web", "--limit=7", "-o", "json")
    assert len(json.loads(limited.stdout)["flows"]) == 7 and "there may be more" in limited.stderr
    assert flows(balancer, "list", "one") == []
    found = {}
    for port in open_ports(site.client):
        flow, = flows(balancer, "get", f"{CLIENT}:{port}", f"{VIRTUAL[4]}:80")
        assert flow["state"] == "ESTABLISHED"
        found[flow["backend"]] = found.get(flow["backend"], 0) + 1
    assert found == spread
    missing = balancer.ctl("flows", "get", f"{CLIENT}:1", f"{VIRTUAL[4]}:80", check=False)
    assert missing.returncode == 1 and "there is no such flow" in missing.stderr
    assert held.ask()["broken"] == {}


def test_sessions_are_listed_with_both_sides(lab):
    site, balancer = made(lab, "dpdk", "full_nat")
    held = clients.HeldConnections(site.client, VIRTUAL[4], 40)
    listed = flows(balancer, "list", "--source=203.0.113.0/24")
    ports = open_ports(site.client)
    assert sorted(flow["flow"]["source_port"] for flow in listed) == sorted(ports)
    addresses = {backend.name: backend.addresses[4] for backend in site.backends}
    for flow in listed:
        assert flow["translated"]["destination"] == addresses[flow["backend"]]
        assert flow["translated"]["source"].startswith("203.0.113.6") and flow["listener"] == "web"
    flow, = flows(balancer, "get", f"{CLIENT}:{ports[0]}", f"{VIRTUAL[4]}:80")
    assert flow["state"] == "ESTABLISHED"
    assert flows(balancer, "list", "--source=192.0.2.0/24") == []
    assert held.ask()["broken"] == {}


def test_killed_entries_are_decided_on_anew(lab, engine):
    """Direct server return: a drained backend keeps its flows until they are killed; nobody else notices."""
    site, balancer = made(lab, engine)
    held = clients.HeldConnections(site.client, VIRTUAL[4], 60, timeout=4)
    spread = held.first["spread"]
    balancer.ctl("backend", "drain", "web/web1")
    assert held.ask()["broken"] == {}
    counted = balancer.ctl("flows", "kill", "web/web1", "--dry_run").stdout
    assert counted == f"dry run, nothing was done: killed={spread['web1']}\n"
    assert len(flows(balancer, "list", "web/web1")) == spread["web1"]
    assert balancer.ctl("flows", "kill", "web/web1").stdout == f"killed={spread['web1']}\n"
    assert flows(balancer, "list", "web/web1") == []
    assert f"flows killed: {spread['web1']}, of pool web, with backend web1" in balancer.process.output()
    # Other servers do not know them, and say so.
    answer = held.ask()
    assert answer["spread"] == {name: count for name, count in spread.items() if name != "web1"}, answer
    assert sum(answer["broken"].values()) == spread["web1"] and answer["moved"] == 0, answer
    # One alone, which then has a new entry with its next packet.
    port = open_ports(site.client)[0]
    assert balancer.ctl("flows", "kill", f"{CLIENT}:{port}", f"{VIRTUAL[4]}:80").stdout == "killed=1\n"
    missing = balancer.ctl("flows", "kill", f"{CLIENT}:{port}", f"{VIRTUAL[4]}:80", check=False)
    assert missing.returncode == 1 and "there is no such flow" in missing.stderr
    assert clients.http_requests(site.client, VIRTUAL[4], 100)["failed"] == 0


@pytest.mark.parametrize("forwarding,family", (("nat", 6), ("full_nat", 4)))
def test_killed_sessions_end(lab, engine, forwarding, family):
    """Translation: both ends are reset, nobody else notices, and new connections are opened."""
    site, balancer = made(lab, engine, forwarding, family)
    held = clients.HeldConnections(site.client, VIRTUAL[family], 12, timeout=4)
    spread = held.first["spread"]
    prefixes = {4: ("192.0.2.0/24", "203.0.113.0/24"), 6: ("2001:db8:9::/48", "2001:db8::/32")}[family]
    assert balancer.ctl("flows", "kill", "web", f"--source={prefixes[0]}").stdout == "killed=0\n"
    assert balancer.ctl("flows", "kill", "web/web1").stdout == f"killed={spread['web1']}\n"
    web1 = site.backends[0].node
    wait_until(lambda: len(open_ports(site.client, family)) == 12 - spread["web1"], "the client's ends to be reset")
    wait_until(lambda: web1.run("ss", "-Htn", "state", "established", "sport", "80").stdout == "",
               "the server's ends to be reset")
    answer = held.ask()
    assert answer["spread"] == {name: count for name, count in spread.items() if name != "web1"}, answer
    assert sum(answer["broken"].values()) == spread["web1"] and answer["moved"] == 0, answer
    assert not any("timed out" in reason for reason in answer["broken"]), answer
    rest = sum(spread.values()) - spread["web1"]
    assert balancer.ctl("flows", "kill", f"--source={prefixes[1]}").stdout == f"killed={rest}\n"
    assert flows(balancer, "list") == []
    assert clients.http_requests(site.client, VIRTUAL[family], 100)["failed"] == 0
    assert held.ask()["spread"] == {}


def test_what_there_is_not_is_not_killed(lab, engine):
    _, balancer = made(lab, engine)
    for words, missing in ((("nowhere",), 'no pool is named "nowhere"; it is one of '),
                           (("web/web9",), 'pool web has no backend "web9"; did you mean "web1"?'),
                           ((f"{CLIENT}:1", f"{VIRTUAL[4]}:9"), "no listener takes packets to")):
        refused = balancer.ctl("flows", "kill", *words, check=False)
        assert refused.returncode == 1 and missing in refused.stderr, refused.stderr


def test_what_is_explained_is_what_happens(lab, engine):
    """Where a new flow would go, for source ports that are then used."""
    site, balancer = made(lab, engine)
    balancer.ctl("backend", "drain", "web/web2")
    api = ApiClient(balancer.api)
    for port in range(20_000, 20_040):
        flow = {"source": CLIENT, "source_port": port, "destination": VIRTUAL[4], "destination_port": 80}
        told = api.call("Explain", flow=flow)
        served = site.client.run("curl", "-sS", "--local-port", port, f"http://{VIRTUAL[4]}/").stdout.strip()
        assert told["verdict"] == "forwarded" and told["backend"] == served != "web2"
        assert "web2 drained" in told["steps"][3]["reason"]
        again = api.call("Explain", flow=flow)
        assert again["backend"] == served and again["found"][0]["state"] in ("ESTABLISHED", "CLOSING")
    words = balancer.ctl("explain", f"{CLIENT}:1", f"{VIRTUAL[4]}:81").stdout
    assert "no_listener" in words


def test_watch_tells_what_happens_as_it_happens(lab, engine):
    site, balancer = made(lab, engine)
    watching = site.node.start("watch", SLUICECTL, "watch", f"--api={balancer.api}")
    watching.wait_for_output("watching; every worker runs generation")
    balancer.ctl("backend", "drain", "web/web1")
    watching.wait_for_output("change: generation=")
    watching.wait_for_output("backend web/web1: drain, unchecked: drained")
    site.backends[1].node.ip("link set eth0 down")
    watching.wait_for_output("backend web/web2: no_next_hop", timeout=60)
    # A second one, and a generic client: each hears the same.
    call, events = ApiClient(balancer.api).stream("Watch")
    assert next(events)["kind"] == "BEGIN"
    heard = []
    reader = threading.Thread(target=lambda: heard.extend(event for event, _ in zip(events, range(2))))
    reader.start()
    balancer.ctl("backend", "ready", "web/web1")
    reader.join(10)
    call.cancel()
    assert [event["kind"] for event in heard] == ["CHANGE", "BACKEND"], heard
    assert heard[1]["backend"]["condition"] == "READY"
    balancer.stop()
    wait_until(lambda: watching.exit_code() == 3, "sluicectl watch to end with its daemon")


@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
def test_bash_completes_what_runs(lab, engine):
    """The names of a running daemon, by the shipped completion."""
    _, balancer = made(lab, engine)
    line = f"{SLUICECTL} --api={balancer.api} backend drain web/"
    script = (f"source <({SLUICECTL} completion); COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDBREAKS=;"
              ' _sluicectl; echo "${COMPREPLY[*]}"')
    assert balancer.node.run("bash", "-c", script).stdout.split() == ["web/web1", "web/web2", "web/web3"]
