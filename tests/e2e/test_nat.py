"""What only translated flows have: answers through the balancer, sessions, source ports, both IP versions at once.

   client ----+---- LAN ----+---- balancer (sluiced on eth0)
              |             |
              '--- web1 web2 web3        farclient --- near --- router --- LAN

Servers have no virtual address. With nat their route to clients leads over the balancer; with full_nat they answer the
balancer's NAT addresses, on the LAN.
"""

import re

import pytest
from lab import clients, servers
from lab.process import wait_until
from lab.site import VIRTUAL, Site

FAMILIES = pytest.mark.parametrize("family", (4, 6))
MODES = pytest.mark.parametrize("mode", ("nat", "full_nat"))


@pytest.fixture
def files(tmp_path):
    """A folder with a file of some hundred full-size segments."""
    (tmp_path / "some").write_bytes(bytes(range(256)) * 20_000)
    return tmp_path


def total(balancer, name):
    """A number of the line that sluiced logs at its end."""
    match = re.search(rf"totals: .*\b{name}=(\d+)", balancer.process.output())
    return int(match.group(1)) if match else 0


@FAMILIES
@MODES
@pytest.mark.parametrize("workers", (1, 2))
def test_workers(lab, files, mode, family, workers, engine):
    """With two workers, or queues of the kernel's, answers come to whichever queue the device likes: half of them to
    the one that does not own the session."""
    site = Site(lab, mode, queues=workers, engine=engine)
    client = site.add_client()
    for backend in site.add_backends(3, files):
        servers.upload(backend.node)
        servers.udp_echo(backend.node, *backend.serves.values())
    balancer = site.balancer(site.configuration(family, workers=workers)).start()
    answer = clients.http_requests(client, VIRTUAL[family], 3_000)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2", "web3"}, answer
    ran = client.run("wrk", "-t1", "-c30", "-d2s", clients.url(VIRTUAL[family]))
    assert "Socket errors" not in ran.stdout and "Non-2xx" not in ran.stdout, ran.stdout
    for _ in range(4):
        clients.upload(client, VIRTUAL[family], files / "some")
        clients.download(client, VIRTUAL[family], "some")
    # Its fragments have no ports, and may arrive elsewhere than the first one.
    clients.udp_echo(client, VIRTUAL[family], 4_000, count=30)
    balancer.stop()
    assert total(balancer, "returned") > 6_000
    # A veth has no RSS key to tell.
    unknown = ("nat: RSS key of eth0 is unknown (ethtool -x shows none): "
               "answers that arrive elsewhere than at their worker are looked up")
    assert (unknown in balancer.process.output()) == (workers == 2 and engine == "dpdk")
    assert (total(balancer, "answers_elsewhere") > 0) == (workers == 2)


@pytest.mark.parametrize("family,backend_family", ((6, 4), (4, 6)))
def test_from_one_ip_version_to_the_other(lab, large_file, family, backend_family, engine):
    path, digest = large_file
    site = Site(lab, "full_nat", engine=engine)
    client = site.add_client()
    for backend in site.add_backends(3, path.parent):
        servers.upload(backend.node)
        servers.udp_echo(backend.node, *backend.serves.values())
        servers.dns(backend.node, *backend.serves.values())
    site.balancer(site.configuration(family, backend_family)).start()
    answer = clients.http_requests(client, VIRTUAL[family], 10_000)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2", "web3"}, answer
    assert clients.download(client, VIRTUAL[family], path.name) == digest
    assert clients.upload(client, VIRTUAL[family], path)[1] == digest
    assert clients.udp_echo(client, VIRTUAL[family], 100, count=30)
    # A fragment that fills the link is too big with the longer header: the first try tells its sender.
    assert clients.udp_echo(client, VIRTUAL[family], 4_000, count=10, attempts=2)
    ran = client.run("dig", "+short", "+tries=2", "+timeout=5", f"@{VIRTUAL[family]}", servers.DNS_NAME, "TXT")
    assert ran.stdout.strip().strip('"') in ("web1", "web2", "web3")


@FAMILIES
def test_a_client_that_is_a_server_itself(lab, family, engine):
    """Whichever server it gets, itself included, answers through the balancer."""
    site = Site(lab, "nat", engine=engine)
    backends = site.add_backends(3)
    site.balancer(site.configuration(family)).start()
    answer = clients.http_requests(backends[0].node, VIRTUAL[family], 300)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2", "web3"}, answer


@FAMILIES
@MODES
def test_a_path_that_gets_narrow(lab, files, mode, family, engine):
    """ICMP errors of the client's side find the server of the flow that they quote, whose packet they then quote."""
    site = Site(lab, mode, engine=engine)
    backends = site.add_backends(3, files)
    for backend in backends:
        servers.upload(backend.node)
    client = site.add_far_client()
    site.balancer(site.configuration(family)).start()
    before = clients.download(client, VIRTUAL[family], "some")
    for node, interface in ((site.router, "near0"), (client.lab.nodes[-2], "up0")):
        node.ip(f"link set dev {interface} mtu 1300")
    for _ in range(5):
        assert clients.download(client, VIRTUAL[family], "some") == before
        assert clients.upload(client, VIRTUAL[family], files / "some")[0] in ("web1", "web2", "web3")


@MODES
def test_checksums_left_to_the_device(lab, files, mode, engine):
    """A veth hands over what a network card would have finished."""
    site = Site(lab, mode, engine=engine)
    client = site.add_client()
    backends = site.add_backends(2, files)
    for node in (client, *(backend.node for backend in backends)):
        node.run("ethtool", "-K", "eth0", "tx", "on")
    site.balancer(site.configuration(4)).start()
    answer = clients.http_requests(client, VIRTUAL[4], 500)
    assert answer["failed"] == 0 and set(answer["spread"]) == {"web1", "web2"}, answer
    assert clients.download(client, VIRTUAL[4], "some") == clients.download(backends[0].node, "127.0.0.1", "some")


@MODES
def test_an_idle_connection_hears_of_its_end(lab, mode):
    site = Site(lab, mode)
    client = site.add_client()
    servers.many(site.add_backends(1)[0].node)
    configuration = site.configuration(4)
    for listener in configuration["listeners"]:
        if listener["name"] == "many":
            listener.update(idle_timeout="3s", reset_on_idle=True)
    balancer = site.balancer(configuration).start()
    held = clients.ManyConnections(client, VIRTUAL[4], 20)
    assert held.first == {"open": 20, "failed": {}}
    server = site.backends[0].node
    count = f"( sport = :{servers.MANY_PORT} )"
    assert len(server.run("ss", "-Htn", "state", "established", count).stdout.splitlines()) == 20
    wait_until(lambda: not server.run("ss", "-Htn", "state", "established", count).stdout.strip(),
               "the server to hear of the end", timeout=20)
    answer = held.command("ask")
    assert answer["open"] == 0 and sum(answer["failed"].values()) == 20, answer
    assert all("reset" in words for words in answer["failed"]), answer
    balancer.stop()
    assert total(balancer, "resets_sent") == 40


@MODES
def test_kill_and_start_again(lab, mode, engine):
    site = Site(lab, mode, engine=engine)
    client = site.add_client()
    site.add_backends(2)
    balancer = site.balancer(site.configuration(4))
    for _ in range(3):
        balancer.start()
        assert clients.http_requests(client, VIRTUAL[4], 100)["failed"] == 0
        balancer.kill()
    balancer.start()
    assert clients.http_requests(client, VIRTUAL[4], 100)["failed"] == 0


def test_a_reload_breaks_no_connection(lab, engine):
    """1,000 sessions, and other backends come and go."""
    site = Site(lab, "full_nat", engine=engine)
    client = site.add_client()
    site.add_backends(3)
    balancer = site.balancer(site.configuration(4, backends=site.backends[:2])).start()
    held = clients.HeldConnections(client, VIRTUAL[4], 1_000)
    assert held.first["open"] == 1_000 and not held.first["broken"], held.first
    pool = balancer.configuration["pools"][0]
    third = {"name": "web3", "address": site.backends[2].addresses[4]}
    for change in (lambda: pool["backends"].append(third), lambda: pool["backends"][2].update(weight=5),
                   lambda: pool["backends"].pop()):
        change()
        assert "generation=" in balancer.reload()
        answer = held.ask()
        assert (answer["open"], answer["moved"], answer["broken"]) == (1_000, 0, {}), answer


def held_open(held):
    """How many of the connections are open, by asking each."""
    return held.command("ask")["open"]


def test_sixty_thousand_connections_from_one_address(lab, engine):
    """More than an address has ports: each is used again toward another server."""
    site = Site(lab, "full_nat", engine=engine)
    # So many that no process has to hold more than it may, and no client looks for a free port for long.
    many = [site.add_client(f"client{number}", 100 + number) for number in range(4)]
    for backend in site.add_backends(5):
        servers.many(backend.node)
    configuration = site.configuration(4)
    configuration["engine"].update(nat_addresses=["203.0.113.64"], max_sessions="100k")
    balancer = site.balancer(configuration).start()
    held = [clients.ManyConnections(client, VIRTUAL[4], 15_000) for client in many]
    assert [part.first for part in held] == 4 * [{"open": 15_000, "failed": {}}]
    assert [part.command("ask") for part in held] == 4 * [{"open": 15_000, "failed": {}}]
    balancer.stop()
    assert total(balancer, "sessions_opened") >= 60_000


@FAMILIES
def test_a_server_that_has_connections_of_a_node_that_has_lost_them(lab, family, engine):
    """As after a node's power was cut: whatever source port a new flow gets, the server knows an old one by it. It says
    so, its client resets that and comes again."""
    site = Site(lab, "full_nat", engine=engine)
    site.node.sysctl(net__ipv4__ip_local_port_range="2048 65535")
    client = site.add_client()
    backend, = site.add_backends(1)
    configuration = site.configuration(family)
    address = {4: "203.0.113.64", 6: "2001:db8::64:0"}[family]
    configuration["engine"]["nat_addresses"] = [address]
    servers.stale_connections(backend.node, backend.serves[family], address, 1024, 2047)
    site.balancer(configuration).start()
    answer = clients.http_requests(client, VIRTUAL[family], 300)
    assert answer["failed"] == 0, answer


def test_ports_run_out_and_come_back(lab, engine):
    """The kernel has nearly all ports: what is left is soon taken, and the log says so. What closes makes room."""
    site = Site(lab, "full_nat", engine=engine)
    # Two ranges of ports for us: 1024 to 1199 and 65000 to 65535, toward each of two servers.
    site.node.sysctl(net__ipv4__ip_local_port_range="1200 64999")
    room = 2 * (1200 - 1024 + 65536 - 65000)
    client = site.add_client()
    for backend in site.add_backends(2):
        servers.many(backend.node)
    configuration = site.configuration(4)
    configuration["engine"]["nat_addresses"] = ["203.0.113.64"]
    balancer = site.balancer(configuration).start()
    held = clients.ManyConnections(client, VIRTUAL[4], room + 200, timeout=8)
    # Flows are spread by chance, so one server is full before the other; a SYN that is tried again has another port.
    assert room - 200 <= held.first["open"] <= room, held.first
    assert set(held.first["failed"]) == {"no answer"}, held.first
    balancer.process.wait_for_output("every port of the NAT addresses toward their backend is taken")
    assert held.command("ask") == {"open": held.first["open"], "failed": {}}
    closed = held.command("close 500")["open"]
    # Before the closed ones' time is over: the oldest of them give way. A flow looks at a part of the ports only, so
    # now and then a client has to try again.
    for _ in range(5):
        opened = held.command(f"open {closed + 300 - held_open(held)}")
        if opened["open"] == closed + 300:
            break
    assert opened["open"] == closed + 300, opened
    assert held.command("ask") == {"open": closed + 300, "failed": {}}
    balancer.stop()
    assert total(balancer, "ports_taken_early") > 0 and total(balancer, "no_nat_port") > 0
