"""Changing a running balancer over its API, by sluicectl and by a generic gRPC client.

   client ---- LAN ----+---- balancer
                       '---- web1 web2 web3 web4
"""

import contextlib
import json
import random
import socket
import threading
import time

import grpc
import pytest
import yaml
from lab import clients
from lab.api_client import ApiClient
from lab.process import wait_until
from lab.site import VIRTUAL, Site


def backend_of(balancer, name, pool="web"):
    listed = json.loads(balancer.ctl("list", pool, "-o", "json").stdout)
    return {one["name"]: one for one in listed["pools"][0]["backends"]}.get(name)


def count_new_flows(backend):
    """Has the kernel of a server count the SYNs that reach it; a function that reads the count."""
    backend.node.run("nft", "-f", "-", stdin=(
        "table inet count { chain seen { type filter hook input priority 0; policy accept;"
        " tcp dport 80 tcp flags & (syn | ack) == syn counter; }; }\n"))

    def read():
        listed = json.loads(backend.node.run("nft", "-j", "list", "table", "inet", "count").stdout)["nftables"]
        rule = next(entry["rule"] for entry in listed if "rule" in entry)
        return next(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
    return read


@pytest.mark.parametrize("forwarding,engine", [
    ("dsr_l2", "dpdk"), ("dsr_l2", "xdp"), ("ipip", "dpdk"), ("ipip", "xdp"), ("gue", "dpdk"), ("gue", "xdp"),
    ("nat", "dpdk"), ("full_nat", "dpdk")], indirect=["engine"])
def test_no_new_flow_reaches_a_removed_backend(lab, forwarding, engine):
    """Under load; once `backend remove --wait` returns, the server's own kernel sees not one new flow."""
    site = Site(lab, forwarding, engine=engine)
    client = site.add_client()
    site.add_backends(3)
    balancer = site.balancer(site.configuration(4)).start()
    new_flows = count_new_flows(site.backends[0])
    load = clients.HttpLoad(client, VIRTUAL[4])
    wait_until(lambda: new_flows() > 50, "web1 to be asked")
    begin = time.monotonic()
    told = balancer.ctl("backend", "remove", "web/web1", "--wait", "--drain_timeout=60s").stderr
    removed = new_flows()
    waited = time.monotonic() - begin
    print(f"\n{forwarding} {engine}: removed without a flow after {waited:.1f} s")
    # Connections that their clients have closed do not count for long.
    assert waited < 20 and "still has" not in told, (waited, told)
    served = clients.http_requests(client, VIRTUAL[4], 500)
    assert new_flows() == removed
    answer = load.stop()
    assert served["failed"] == answer["failed"] == 0 and set(served["spread"]) == {"web2", "web3"}, (served, answer)


def test_a_backend_with_open_connections_is_removed_when_the_time_is_over(site, balancer):
    held = clients.HeldConnections(site.client, VIRTUAL[4], 30)
    flows = held.first["spread"]["web1"]
    told = balancer.ctl("backend", "remove", "web/web1", "--wait", "--drain_timeout=4s").stderr
    assert f"web/web1 has {flows} flows left\n" in told, told
    assert told.endswith(f"warning: web/web1 still has {flows} flows; it is removed with them\n"), told


def test_backends_change_under_load_and_no_request_fails(site, balancer):
    """Add, weight, drain, ready, disable and remove of what has no flows; each is in force when sluicectl returns."""
    load = clients.HttpLoad(site.client, VIRTUAL[4])
    web4 = site.backends[3].addresses[4]
    seconds = []

    def change(*words):
        begin = time.monotonic()
        told = balancer.ctl("backend", *words).stdout
        seconds.append(time.monotonic() - begin)
        assert "generation=" in told, told
        return clients.http_requests(site.client, VIRTUAL[4], 400)["spread"]

    assert "web4" not in clients.http_requests(site.client, VIRTUAL[4], 400)["spread"]
    change("add", "web/web4", web4, "--weight=1")
    wait_until(lambda: backend_of(balancer, "web4")["condition"] == "READY", "web4's next hop")
    # 8 of 11: 291 with a standard deviation of 9.
    assert 240 < change("weight", "web/web4", "8")["web4"] < 340
    assert "web4" not in change("drain", "web/web4")
    assert "web4" in change("ready", "web/web4")
    assert "web4" not in change("weight", "web/web4", "0")
    answer = load.stop()
    assert answer["requests"] > 100 and answer["failed"] == 0, answer
    print(f"\nsluicectl returned after {1000 * max(seconds):.0f} ms at most")


def test_established_flows_go_on_with_a_drained_backend(site, balancer):
    held = clients.HeldConnections(site.client, VIRTUAL[4], 60)
    balancer.ctl("backend", "drain", "web/web2")
    answer = held.ask()
    assert (answer["broken"], answer["moved"]) == ({}, 0), answer
    assert "web2" not in clients.http_requests(site.client, VIRTUAL[4], 200)["spread"]
    assert backend_of(balancer, "web2")["reason"] == "drained"
    wait_until(lambda: int(backend_of(balancer, "web2")["active_flows"]) >= held.first["spread"]["web2"],
               "its flows to be counted")
    balancer.ctl("backend", "ready", "web/web2")
    assert "web2" in clients.http_requests(site.client, VIRTUAL[4], 200)["spread"]


def test_a_disabled_backend_serves_nobody_and_comes_back(site, balancer):
    held = clients.HeldConnections(site.client, VIRTUAL[4], 30, timeout=4)
    balancer.ctl("backend", "disable", "web/web3")
    answer = held.ask()
    assert "web3" not in answer["spread"] and answer["moved"] == 0, answer
    assert answer["spread"]["web1"] == held.first["spread"]["web1"]
    assert set(clients.http_requests(site.client, VIRTUAL[4], 200)["spread"]) == {"web1", "web2"}
    balancer.ctl("backend", "ready", "web/web3")
    assert "web3" in clients.http_requests(site.client, VIRTUAL[4], 200)["spread"]


def test_changes_outlive_restarts_and_meet_the_file(site, balancer):
    balancer.ctl("backend", "weight", "web/web1", "5")
    balancer.ctl("backend", "remove", "web/web2")
    balancer.ctl("backend", "add", "web/web4", site.backends[3].addresses[4])
    for end in (balancer.stop, balancer.kill):
        end()
        balancer.start()
        assert backend_of(balancer, "web1")["weight"] == 5
        assert backend_of(balancer, "web2") is None
        assert set(clients.http_requests(site.client, VIRTUAL[4], 300)["spread"]) == {"web1", "web3", "web4"}
    # The file loses web1, so its weight has no meaning any more.
    backends = balancer.configuration["pools"][0]["backends"]
    backends.pop(0)
    assert "generation=" in balancer.reload()
    assert "the change of backend web/web1 is dropped" in balancer.process.output()
    assert set(clients.http_requests(site.client, VIRTUAL[4], 300)["spread"]) == {"web3", "web4"}


def test_a_configuration_is_compared_applied_and_taken_back(site, balancer):
    wanted = yaml.safe_load(balancer.ctl("export").stdout)
    same = balancer.folder / "same.yaml"
    same.write_text(yaml.safe_dump(wanted))
    assert balancer.ctl("check", same).returncode == 0
    assert balancer.ctl("diff", same).stdout.startswith("nothing changes\n")
    same.write_text(balancer.ctl("export", "-o", "json").stdout)
    assert json.loads(same.read_text())["pools"][0]["name"] == "web"
    assert balancer.ctl("diff", same).stdout.startswith("nothing changes\n")
    wanted["pools"][0]["backends"].pop(0)
    wanted["pools"][0]["backends"][0]["weight"] = 3
    other = balancer.folder / "other.yaml"
    other.write_text(yaml.safe_dump(wanted))
    differs = balancer.ctl("diff", other, check=False)
    assert differs.returncode == 5
    assert "- pools[web].backends[web1]\n~ pools[web].backends[web2].weight: 1 -> 3\n" in differs.stdout
    assert "dry run" in balancer.ctl("apply", other, "--dry_run").stdout
    assert backend_of(balancer, "web1") is not None
    balancer.ctl("apply", "-", stdin=other.read_text())
    assert set(clients.http_requests(site.client, VIRTUAL[4], 200)["spread"]) == {"web2", "web3"}
    balancer.kill()
    balancer.start()
    assert backend_of(balancer, "web2")["weight"] == 3
    balancer.ctl("rollback")
    assert set(clients.http_requests(site.client, VIRTUAL[4], 200)["spread"]) == {"web1", "web2", "web3"}
    wanted["pools"][0]["backends"][0]["address"] = "nowhere"
    other.write_text(yaml.safe_dump(wanted))
    refused = balancer.ctl("apply", other, check=False)
    assert refused.returncode == 1 and f"{other}:" in refused.stderr


def test_list_counts_what_backends_get(site, balancer):
    answer = clients.http_requests(site.client, VIRTUAL[4], 300)
    for name, requests in answer["spread"].items():
        assert int(backend_of(balancer, name)["traffic"]["new_flows"]) >= requests
    status = json.loads(balancer.ctl("status", "-o", "json").stdout)
    assert status["ready"] and status["problems"] == [] and status["engine"] == site.engine.upper()
    totals = {total["name"]: int(total["value"]) for total in status["totals"]}
    assert totals["forwarded"] > 300
    for words in (("status",), ("list", "--stats"), ("list", "--rate"), ("health", "web")):
        for form in ("table", "csv", "yaml", "json"):
            assert balancer.ctl(*words, "-o", form).stdout


@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
def test_health_tells_what_checks_have_found(site):
    configuration = site.configuration(4, backends=site.backends[:2])
    # Where nobody listens, and where somebody does.
    for pool, port in zip(configuration["pools"], (9, 80)):
        pool["health_check"] = {"type": "tcp", "port": port, "interval": "100ms", "fall": 2}
    balancer = site.balancer(configuration).start()
    wait_until(lambda: backend_of(balancer, "web1")["condition"] == "UNHEALTHY", "web1 to be unhealthy")
    health = backend_of(balancer, "web1")["health"]
    assert health["last"]["outcome"] == "FAILED" and "refused" in health["reason"], health
    wait_until(lambda: backend_of(balancer, "web1", "one")["health"]["state"] == "HEALTHY", "web1 of one to be healthy")
    assert "unhealthy" in balancer.ctl("health").stdout
    wait_until(lambda: "has no healthy backend" in balancer.ctl("status").stdout, "the status to tell of it")


def test_exit_codes_tell_what_happened(site, balancer):
    def code(*words):
        ran = balancer.ctl(*words, check=False)
        assert ran.returncode == 0 or ran.stderr.startswith("sluicectl: "), ran
        return ran.returncode
    assert code("backend", "remove", "web/nobody") == 1
    assert code("backend", "weight", "web/web1", "70000") == 1
    assert code("backend", "weight", "web/web1", "3", "--revision=77") == 1
    assert code("backend", "remove", "web1") == code("backend", "explode", "web/web1") == 2
    assert code("status", "-o", "xml") == code("status", "--wait") == 2
    for flag in ("--bogus", "--weight=many"):
        assert balancer.ctl("status", flag, check=False).returncode == 2
    balancer.stop()
    assert code("status") == 3


def test_what_cannot_be_kept_is_told_until_it_is(balancer):
    # Nobody, not even root, writes a file where a folder is.
    aside = balancer.folder / "state" / "wanted.new"
    aside.mkdir()
    ran = balancer.ctl("backend", "weight", "web/web1", "7", check=False)
    assert ran.returncode == 4 and "would be lost by a restart" in ran.stderr, ran
    balancer.process.wait_for_output("error sluiced: changes made over the API would be lost by a restart: ", 10)
    aside.rmdir()
    balancer.process.wait_for_output("changes made over the API are kept again", 10)
    assert "would be lost" not in balancer.ctl("status").stdout


class Changer(threading.Thread):
    """Makes changes one after the other, and notes which were acknowledged, until the daemon is gone."""

    def __init__(self, api, names, seed):
        super().__init__()
        self.client = ApiClient(api)
        self.random = random.Random(seed)
        self.names = names
        # name -> weight; what was acknowledged, and what the call that got no answer may have made of it.
        self.acknowledged = {}
        self.unsure = (None, None)
        self.count = 0

    def run(self):
        try:
            while True:
                name, weight = self.random.choice(self.names), self.random.randrange(1, 1000)
                self.unsure = (name, weight)
                self.client.call("UpdateBackend", pool="web", backend=name, weight=weight)
                self.acknowledged[name] = weight
                self.count += 1
        except grpc.RpcError:
            self.client.close()


def test_every_acknowledged_change_is_there_after_a_crash(site, balancer):
    """Three clients change weights as fast as they can; kill -9 after 300, 350, 400 changes of theirs; restart."""
    weights = {}
    for round_number in range(3):
        changers = [Changer(balancer.api, [name], seed=round_number) for name in ("web1", "web2", "web3")]
        for changer in changers:
            changer.start()
        enough = 300 + 50 * round_number
        wait_until(lambda: sum(changer.count for changer in changers) >= enough, "changes", timeout=60)
        balancer.kill()
        for changer in changers:
            changer.join()
            weights.update(changer.acknowledged)
        balancer.start()
        for changer in changers:
            name, weight = changer.unsure
            found = backend_of(balancer, name)["weight"]
            assert found in (weights.get(name), weight), (name, found, weights.get(name), weight)
            weights[name] = found
    assert clients.http_requests(site.client, VIRTUAL[4], 100)["failed"] == 0


@pytest.mark.parametrize("damage", ("cut off", "other bytes"))
def test_a_damaged_state_is_told_and_the_last_good_one_used(site, balancer, damage):
    balancer.ctl("backend", "weight", "web/web1", "5")
    balancer.ctl("backend", "weight", "web/web1", "6")
    balancer.kill()
    state = balancer.folder / "state" / "wanted"
    content = state.read_bytes()
    state.write_bytes(content[:len(content) // 2] if damage == "cut off" else b"x" * len(content))
    balancer.start()
    assert "wanted is damaged" in balancer.process.output()
    assert backend_of(balancer, "web1")["weight"] == 5
    assert clients.http_requests(site.client, VIRTUAL[4], 100)["failed"] == 0


def test_a_generic_client_learns_everything_from_the_server(site, balancer):
    client = ApiClient(balancer.api)
    assert {"sluice.v1.LoadBalancer", "grpc.health.v1.Health"} <= set(client.services())
    reply = client.call("Get")
    assert [pool["name"] for pool in reply["config"]["pools"]] == ["web", "one"]
    changed = client.call("AddBackend", pool="web", options={"revision": reply["revision"]},
                          backend={"name": "web4", "address": site.backends[3].addresses[4]})
    assert int(changed["revision"]) == int(reply["revision"]) + 1
    with pytest.raises(grpc.RpcError) as error:
        client.call("RemoveBackend", pool="web", backend="web4", options={"revision": reply["revision"]})
    assert error.value.code() == grpc.StatusCode.ABORTED
    # gRPC's own health service is listed, its messages are not: an empty question, answered by status (1) SERVING (1).
    assert client.call_raw("/grpc.health.v1.Health/Check", b"") == b"\x08\x01"


def test_bad_clients_change_nothing_and_hurt_nobody(site, balancer):
    """1 MB names, a configuration of nonsense, bytes that are no HTTP/2, hanging up in the middle, under load."""
    load = clients.HttpLoad(site.client, VIRTUAL[4])
    client = ApiClient(balancer.api)
    before = client.call("Get")
    long_name = "x" * 1_000_000
    for fields in ({"pool": long_name, "backend": "web1"}, {"pool": "web", "backend": long_name}):
        with pytest.raises(grpc.RpcError) as error:
            client.call("RemoveBackend", **fields)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT and len(error.value.details()) < 1000
    with pytest.raises(grpc.RpcError) as error:
        client.call("AddBackend", pool="web", backend={"name": long_name, "address": "203.0.113.77"})
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "use at most 63" in error.value.details()
    with pytest.raises(grpc.RpcError) as error:
        client.call("Apply", config={"pools": [{"name": f"?{i}", "algorithm": 99} for i in range(1000)]})
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "pools[0].name" in error.value.details()
    chance = random.Random(1)
    for number in range(100):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(balancer.api.removeprefix("unix:"))
            start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if number % 2 else b""
            peer.sendall(start + chance.randbytes(2000))
    for _ in range(50):
        impatient = ApiClient(balancer.api)
        # Most often too short, now and then not.
        with contextlib.suppress(grpc.RpcError):
            impatient.call("List", timeout=0.0005)
        impatient.close()
    assert client.call("Get") == before
    answer = load.stop()
    assert answer["failed"] == 0, answer
