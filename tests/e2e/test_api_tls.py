"""The API over TCP: who has which certificate may look, or change things, or neither.

   client (sluicectl) ---- LAN ----+---- balancer (api: 203.0.113.2:9443)
                                   '---- web1 web2
"""

import shutil

import pytest
from lab import clients
from lab.balancer import SLUICECTL
from lab.certificates import Authority
from lab.process import wait_until
from lab.site import VIRTUAL, Site

PORT = 9443


class Secured:
    """A balancer with the API over TCP, and an authority for each side."""

    def __init__(self, lab, engine):
        self.site = Site(lab, engine=engine)
        self.client = self.site.add_client()
        self.site.add_backends(2)
        self.address = self.site.address(4)
        self.folder = lab.folder / "certificates"
        self.servers = Authority(self.folder, "servers")
        self.clients = Authority(self.folder, "clients")
        self.tls = {"certificate_file": str(self.folder / "own.pem"), "key_file": str(self.folder / "own.key"),
                    "client_ca_file": str(self.folder / "client_ca.pem"), "admins": ["ops"]}
        self.use(self.servers)
        shutil.copy(self.clients.certificate, self.tls["client_ca_file"])
        configuration = self.site.configuration(4)
        configuration["api"] = {"listen": f"{self.address}:{PORT}", "tls": self.tls}
        self.balancer = self.site.balancer(configuration)

    def use(self, authority, **options):
        """Gives the server a certificate of that authority: aside first, as whoever changes files that are in use."""
        for made, name in zip(authority.sign("balancer", self.address, **options), ("own.pem", "own.key")):
            shutil.copy(made, self.folder / f"{name}.new")
            (self.folder / f"{name}.new").rename(self.folder / name)

    def ctl(self, credentials, *words, server_ca=None):
        """(exit code, output) of sluicectl on the client."""
        certificate, key = credentials
        ran = self.client.run(SLUICECTL, *words, f"--api={self.address}:{PORT}", "--timeout=3s",
                              f"--ca_file={server_ca or self.servers.certificate}", f"--certificate_file={certificate}",
                              f"--key_file={key}", check=False)
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture
def secured(lab, engine):
    return Secured(lab, engine)


def test_certificates_say_who_may_do_what(secured):
    secured.balancer.start()
    ops, viewer = secured.clients.sign("ops"), secured.clients.sign("viewer")
    assert secured.ctl(ops, "backend", "drain", "web/web1")[0] == 0
    assert set(clients.http_requests(secured.client, VIRTUAL[4], 100)["spread"]) == {"web2"}
    code, words = secured.ctl(viewer, "list")
    assert code == 0 and "drain" in words
    code, words = secured.ctl(viewer, "backend", "ready", "web/web1")
    assert code == 1 and "not in api.tls.admins" in words
    # Of an authority that the server does not know, and one whose time is over.
    strangers = Authority(secured.folder, "strangers")
    for credentials in (strangers.sign("ops"), secured.clients.sign("ops", valid=False)):
        assert secured.ctl(credentials, "backend", "ready", "web/web1")[0] == 3
    # A server that the client does not know.
    assert secured.ctl(ops, "status", server_ca=strangers.certificate)[0] == 3
    # Beside it there is the socket of this machine.
    assert '"DRAIN"' in secured.balancer.ctl("list", "-o", "json").stdout


@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
def test_certificates_are_read_again_when_they_change(secured):
    secured.balancer.start()
    ops = secured.clients.sign("ops")
    assert secured.ctl(ops, "status")[0] == 0
    renewed = Authority(secured.folder, "renewed")
    secured.use(renewed)
    wait_until(lambda: secured.ctl(ops, "status", server_ca=renewed.certificate)[0] == 0,
               "the new certificate of the server", timeout=30)
    assert secured.ctl(ops, "status")[0] == 3
    secured.use(renewed, valid=False)
    wait_until(lambda: secured.ctl(ops, "status", server_ca=renewed.certificate)[0] == 3,
               "clients to refuse the server's certificate, whose time is over", timeout=30)
    assert clients.http_requests(secured.client, VIRTUAL[4], 100)["failed"] == 0
    # Who signs clients' certificates may change as well.
    secured.use(secured.servers)
    others = Authority(secured.folder, "others")
    shutil.copy(others.certificate, secured.tls["client_ca_file"])
    wait_until(lambda: secured.ctl(others.sign("ops"), "status")[0] == 0, "the other authority to count", timeout=30)
    assert secured.ctl(ops, "status")[0] == 3


@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
def test_files_that_do_not_fit_are_told_at_the_start(secured):
    (secured.folder / "own.key").rename(secured.folder / "away")
    assert "own.key cannot be used as key_file" in secured.balancer.refuse()
    shutil.copy(secured.servers.sign("another")[1], secured.folder / "own.key")
    assert "own.key cannot be used as key_file" in secured.balancer.refuse()
    (secured.folder / "own.key").unlink()
    (secured.folder / "away").rename(secured.folder / "own.key")
    secured.balancer.start()


@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
def test_who_speaks_no_tls_gets_nothing_and_hurts_nobody(secured):
    secured.balancer.start()
    load = clients.HttpLoad(secured.client, VIRTUAL[4])
    talk = ("import socket\nfor i in range(200):\n"
            f"    s = socket.create_connection(({secured.address!r}, {PORT}), timeout=5)\n"
            "    s.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' * (i % 40))\n")
    secured.client.run("/usr/bin/python3", "-c", talk)
    assert secured.ctl(secured.clients.sign("ops"), "status")[0] == 0
    answer = load.stop()
    assert answer["failed"] == 0, answer
