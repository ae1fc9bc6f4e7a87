"""Changing the file of a running balancer.

   client ---- LAN ----+---- balancer
                       '---- web1 web2 web3 web4
"""

import copy

import pytest
from lab import clients
from lab.process import wait_until
from lab.site import VIRTUAL, Site


@pytest.fixture(params=("dsr_l2", "ipip"))
def site(request, lab, engine):
    made = Site(lab, request.param, engine=engine)
    made.client = made.add_client()
    made.add_backends(4)
    return made


def pool(balancer):
    return balancer.configuration["pools"][0]["backends"]


def test_a_removed_backend_gets_nothing_and_a_new_one_its_share(site):
    balancer = site.balancer(site.configuration(4, backends=site.backends[:3])).start()
    assert set(clients.http_requests(site.client, VIRTUAL[4], 500)["spread"]) == {"web1", "web2", "web3"}
    removed = pool(balancer).pop(1)
    assert "generation=" in balancer.reload()
    answer = clients.http_requests(site.client, VIRTUAL[4], 500)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web3"}, answer
    pool(balancer).append(removed)
    assert "generation=" in balancer.reload()
    answer = clients.http_requests(site.client, VIRTUAL[4], 500)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2", "web3"}, answer


def test_weights_are_followed(site):
    balancer = site.balancer(site.configuration(4, backends=site.backends[:3])).start()
    pool(balancer)[0]["weight"] = 8
    assert "generation=" in balancer.reload()
    answer = clients.http_requests(site.client, VIRTUAL[4], 3_000)
    # 8 of 10: 2,400 with a standard deviation of 22.
    assert answer["failed"] == 0 and 2_250 < answer["spread"]["web1"] < 2_550, answer


def test_reloads_under_load_fail_no_request(site):
    balancer = site.balancer(site.configuration(4, backends=site.backends[:3])).start()
    load = clients.HttpLoad(site.client, VIRTUAL[4])
    fourth = site.configuration(4)["pools"][0]["backends"][3]
    for number in range(12):
        if number == 4:
            pool(balancer).append(fourth)
        pool(balancer)[number % 3]["weight"] = 1 + number % 5
        assert "generation=" in balancer.reload()
    # And some time for the load to meet what is new.
    assert set(clients.http_requests(site.client, VIRTUAL[4], 500)["spread"]) == {"web1", "web2", "web3", "web4"}
    answer = load.stop()
    assert answer["requests"] > 100 and answer["failed"] == 0, answer
    assert set(answer["spread"]) <= {"web1", "web2", "web3", "web4"}, answer


def test_open_connections_survive_changes_of_other_backends(site):
    """1,000 connections; another backend comes, gets weight, goes; each is still served, and by the same server."""
    balancer = site.balancer(site.configuration(4, backends=site.backends[:3])).start()
    held = clients.HeldConnections(site.client, VIRTUAL[4], 1_000)
    assert held.first["open"] == 1_000
    fourth = site.configuration(4)["pools"][0]["backends"][3]
    for weight in (1, 20, 3, None):
        pool(balancer)[3:] = [] if weight is None else [{**fourth, "weight": weight}]
        assert "generation=" in balancer.reload()
        answer = held.ask()
        assert (answer["broken"], answer["moved"]) == ({}, 0), answer
        assert answer["spread"] == held.first["spread"]


def test_removing_a_backend_breaks_only_its_own_connections(site):
    balancer = site.balancer(site.configuration(4, backends=site.backends[:3])).start()
    held = clients.HeldConnections(site.client, VIRTUAL[4], 60, timeout=4)
    pool(balancer).pop(2)
    assert "generation=" in balancer.reload()
    answer = held.ask()
    assert answer["moved"] == 0
    assert {name: answer["spread"].get(name, 0) for name in ("web1", "web2")} == {
        name: held.first["spread"][name] for name in ("web1", "web2")}
    assert sum(answer["broken"].values()) == held.first["spread"]["web3"]


@pytest.mark.parametrize("address", ("203.0.113.20", "2001:db8::20"))
def test_a_listener_that_comes_and_goes(lab, address, engine):
    """A new virtual address is answered for and served; when it has gone, nobody answers for it."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    for backend in site.add_backends(2):
        backend.node.add_address(address + ("/128" if ":" in address else "/32"), "lo")
    family = 6 if ":" in address else 4
    balancer = site.balancer(site.configuration(family)).start()
    assert clients.http_requests(client, address, 1, timeout=1)["failed"] == 1
    listener = {"name": "new", "address": address, "ports": [80], "protocol": "tcp", "pool": "web"}
    balancer.configuration["listeners"].append(listener)
    assert "generation=" in balancer.reload()
    client.ip("neighbour flush all")
    assert clients.http_requests(client, address, 200)["failed"] == 0
    balancer.configuration["listeners"].pop()
    assert "generation=" in balancer.reload()
    client.ip("neighbour flush all")
    assert clients.http_requests(client, address, 1, timeout=1)["failed"] == 1
    assert clients.http_requests(client, VIRTUAL[family], 200)["failed"] == 0


BAD_FILES = {
    "not YAML": ("listeners: [\n", None),
    "an unknown key": (None, lambda c: c["engine"].update({"wrokers": 2})),
    "a dangling pool": (None, lambda c: c["listeners"][0].update({"pool": "nowhere"})),
    "a bad address": (None, lambda c: c["pools"][0]["backends"][0].update({"address": "203.0.113.300"})),
    "an empty file": ("", None),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_an_invalid_file_changes_nothing_and_says_why(lab, what, engine):
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    balancer = site.balancer(site.configuration(4)).start()
    text, change = BAD_FILES[what]
    if change is not None:
        good = balancer.configuration
        balancer.configuration = copy.deepcopy(good)
        change(balancer.configuration)
    answer = balancer.reload(text)
    assert "reload refused" in answer, answer
    # The place is in the answer or on the lines below it.
    wait_until(lambda: f"{balancer.file}:" in balancer.process.output(), lambda: balancer.process.tail())
    assert clients.http_requests(client, VIRTUAL[4], 200)["failed"] == 0
    assert balancer.command("--check").returncode == 1
    told = balancer.command("--reload")
    assert told.returncode == 1 and f"{balancer.file}:" in told.stdout + told.stderr, told
    balancer.configuration = site.configuration(4)
    assert "generation=" in balancer.reload()


def test_the_reload_command_waits_for_the_change(lab, engine):
    """`sluiced --reload` returns when every worker runs the change: the next request meets it."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    balancer = site.balancer(site.configuration(4)).start()
    entries = pool(balancer)
    for keep in (0, 1, 0, 1):
        balancer.configuration["pools"][0]["backends"] = [entries[keep]]
        balancer.write()
        told = balancer.command("--reload", check=True)
        assert "generation=" in told.stdout + told.stderr
        answer = clients.http_requests(client, VIRTUAL[4], 50)
        assert answer["failed"] == 0 and set(answer["spread"]) == {entries[keep]["name"]}, answer


def test_reload_without_a_daemon_says_so(lab, engine):
    site = Site(lab, engine=engine)
    site.add_backends(1)
    balancer = site.balancer(site.configuration(4))
    balancer.write()
    assert balancer.command("--check").returncode == 0
    told = balancer.command("--reload")
    assert told.returncode == 1 and "sluiced" in told.stdout + told.stderr, told
