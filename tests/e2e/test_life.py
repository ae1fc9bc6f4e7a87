"""Starts that must fail with a reason, crashes, and the orderly end.

   client ---- LAN ----+---- balancer
                       '---- web1 web2
"""

import pytest
from lab import clients
from lab.balancer import DECAP, SLUICED, Balancer
from lab.site import VIRTUAL, Site


@pytest.fixture
def site(lab, engine):
    made = Site(lab, engine=engine)
    made.client = made.add_client()
    made.add_backends(2)
    return made


def xdp_program(node):
    """What `ip link` says about a program on eth0; empty when there is none."""
    shown = node.run("ip", "link", "show", "dev", "eth0").stdout
    return shown[shown.index("prog/xdp"):] if "prog/xdp" in shown else ""


def test_ten_crashes_in_a_row(site):
    balancer = site.balancer(site.configuration(4)).start()
    for _ in range(10):
        answer = clients.http_requests(site.client, VIRTUAL[4], 30)
        assert answer["failed"] == 0, answer
        balancer.kill()
        balancer.start()
    assert clients.http_requests(site.client, VIRTUAL[4], 30)["failed"] == 0
    balancer.stop()


def test_an_orderly_end_and_another_start(site):
    configuration = site.configuration(4)
    configuration["engine"]["shutdown"] = "detach"
    balancer = site.balancer(configuration)
    for _ in range(3):
        balancer.start()
        assert clients.http_requests(site.client, VIRTUAL[4], 30)["failed"] == 0
        balancer.stop()
    assert xdp_program(site.node) == ""
    # The node is reachable without it.
    site.client.run("ping", "-q", "-c", "1", "-W", "2", site.address(4))


def test_flags(site):
    balancer = site.balancer(site.configuration(4))
    balancer.write()
    helped = balancer.command("--help")
    assert helped.returncode == 0 and "-run_dir" in helped.stdout and "flagfile" not in helped.stdout
    assert balancer.command("--check").returncode == 0
    for flags, words in ((("--check", "--reload"), "give one of them"), (("--state_dir=",), "have to name a folder")):
        # The last one of a flag counts.
        refused = site.node.run(SLUICED, *balancer.arguments(), *flags, check=False)
        assert refused.returncode == 1 and words in refused.stderr, refused


def test_no_such_interface(site):
    configuration = site.configuration(4)
    configuration["engine"]["interfaces"] = [{"name": "nosuch0"}]
    assert "nosuch0" in site.balancer(configuration).refuse()


def test_a_port_that_another_program_has(site):
    configuration = site.configuration(4)
    configuration["admin"] = {"listen": "127.0.0.1:9910"}
    other = site.node.start("other", "python3", "-u", "-m", "http.server", "9910", "--bind", "127.0.0.1")
    other.wait_for_output("9910")
    words = site.balancer(configuration).refuse()
    assert "127.0.0.1 port 9910 (Address already in use); set another admin.listen" in words, words
    # Nothing forwards that nobody looks after.
    assert xdp_program(site.node) == ""


def test_an_interface_that_another_instance_has(site):
    first = site.balancer(site.configuration(4)).start()
    words = Balancer(site.node, site.configuration(4), "second").refuse()
    assert "eth0" in words and "another" in words, words
    # The same folders too: refused before it takes anything of the first one.
    assert first.command().returncode not in (0, None)
    assert first.command("--reload").returncode == 0
    assert clients.http_requests(site.client, VIRTUAL[4], 100)["failed"] == 0
    first.stop()


def test_a_state_folder_that_another_instance_has(site):
    first = site.balancer(site.configuration(4)).start()
    second = Balancer(site.node, site.configuration(4), "second")
    second.arguments = lambda: [f"--config={second.file}", f"--state_dir={first.folder}/state",
                                f"--run_dir={second.folder}/run"]
    words = second.refuse()
    assert f"another sluiced runs with --state_dir={first.folder}/state" in words, words
    first.stop()


def test_an_interface_with_a_foreign_xdp_program(site):
    foreign = site.node.start("foreign", DECAP, "--interface=eth0")
    foreign.wait_for_output("ready")
    before = xdp_program(site.node)
    balancer = site.balancer(site.configuration(4))
    words = balancer.refuse()
    assert 'eth0 has an XDP program of somebody else, "decap" (id ' in words, words
    assert "ip link set dev eth0 xdp off" in words, words
    assert xdp_program(site.node) == before
    told = balancer.command("--detach")
    assert told.returncode == 1 and "of somebody else" in told.stderr, told
    assert xdp_program(site.node) == before


@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
def test_more_workers_than_queues(site):
    words = site.balancer(site.configuration(4, workers=2)).refuse()
    assert "eth0" in words and "queue" in words, words


def test_an_invalid_file(site):
    configuration = site.configuration(4)
    configuration["listeners"][0]["pool"] = "nowhere"
    balancer = site.balancer(configuration)
    assert f"{balancer.file}:" in balancer.refuse()


def test_no_configuration_file(site):
    balancer = site.balancer(site.configuration(4))
    ran = balancer.command()
    assert ran.returncode not in (0, None) and str(balancer.file) in ran.stderr + ran.stdout, ran
