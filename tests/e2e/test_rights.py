"""What the xdp engine needs of root's rights (docs/operations.md), and what it says when it lacks some.

   client ---- LAN ----+---- balancer (its sluiced has the rights of the test, and no others)
                       '---- web1 web2 web3
"""

import pathlib
import re

import pytest
from lab import clients
from lab.site import VIRTUAL, Site

NUMBERS = {"net_admin": 12, "net_raw": 13, "sys_admin": 21, "perfmon": 38, "bpf": 39}
ENOUGH = ("bpf", "net_admin", "perfmon")


@pytest.fixture(params=("dsr_l2", "full_nat"))
def site(lab, request):
    made = Site(lab, request.param, engine="xdp")
    made.client = made.add_client()
    made.add_backends(3)
    return made


def give(balancer, *rights):
    """Its next start has these capabilities. It stays the owner of its files."""
    names = ",".join(f"+{name}" for name in rights)
    balancer.prefix = ("setpriv", "--no-new-privs", f"--bounding-set=-all,{names}", f"--inh-caps=-all,{names}")


def effective(process):
    """The capabilities of a process, by their numbers."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    bits = int(re.search(r"CapEff:\s+(\w+)", status).group(1), 16)
    return {number for number in range(64) if bits >> number & 1}


def test_three_capabilities_are_enough_to_load_and_forward(site):
    balancer = site.balancer(site.configuration(4))
    give(balancer, *ENOUGH)
    balancer.start()
    assert effective(balancer.process) == {NUMBERS[name] for name in ENOUGH}
    held = clients.HeldConnections(site.client, VIRTUAL[4], 100)
    answer = clients.http_requests(site.client, VIRTUAL[4], 300)
    assert answer["failed"] == 0 and len(answer["spread"]) == 3, answer
    balancer.configuration["pools"][0]["backends"][0]["weight"] = 5
    assert "generation=" in balancer.reload()
    balancer.stop()
    # What it has left goes on, and is out of reach without CAP_SYS_ADMIN.
    words = balancer.refuse()
    assert "eth0" in words and "CAP_SYS_ADMIN" in words, words
    answer = held.ask()
    assert (answer["broken"], answer["moved"]) == ({}, 0), answer
    give(balancer, *ENOUGH, "sys_admin")
    balancer.start()
    answer = held.ask()
    assert (answer["broken"], answer["moved"]) == ({}, 0), answer


@pytest.mark.parametrize("site", ["dsr_l2"], indirect=True)
@pytest.mark.parametrize("missing", ["bpf", "net_admin"])
def test_it_names_what_is_missing(site, missing):
    balancer = site.balancer(site.configuration(4))
    give(balancer, *(name for name in ENOUGH if name != missing))
    words = balancer.refuse()
    assert f"no permission, for want of CAP_{missing.upper()}; run as root" in words, words
