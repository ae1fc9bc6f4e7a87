"""What the tests in the emulated PC share: the devices, bound as docs/operations.md says, and sites around them."""

import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from devices import CARDS  # noqa: E402
from guide import OPERATIONS, bind, follow, guide  # noqa: E402
from lab.fixtures import clean_up_when_terminated, new_lab, pytest_runtest_makereport  # noqa: E402, F401
from pci_site import PciSite  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "every_case: takes ten minutes; tools/check debian runs it")
    # The folder that machine.py shares.
    if not pathlib.Path("/run/results").is_mount():
        pytest.exit("these tests are for the emulated PC; run: sudo tools/check pmd", 1)
    clean_up_when_terminated()


@pytest.fixture(scope="session", autouse=True)
def machine():
    """Huge pages, and modules that the tests' own networks need."""
    follow([re.search(r"`(sysctl -w vm\.nr_hugepages=\d+)`", OPERATIONS)[1]])
    follow(["modprobe -a virtio_net tun veth bridge"])


@pytest.fixture(scope="session")
def bound(machine):
    """The cards, all bound for DPDK."""
    del machine
    follow(guide("dpdk-devbind.py --status-dev net")[:2])
    bind(*(card.pci for card in CARDS.values()))
    names = {path.read_text().strip(): path.parent.name for path in pathlib.Path("/sys/class/net").glob("*/address")}
    follow([f"ip link set dev {names[card.peer_mac]} name {card.cable}" for card in CARDS.values()])
    return CARDS


@pytest.fixture(scope="session", params=("dsr_l2", "ipip", "full_nat"))
def site(request, bound, new_lab):
    """A client and two servers, for each way to forward. One takes half a minute to lay out here: what does not depend
    on the way shares that of dsr_l2."""
    with new_lab(f"pci-{request.param}") as made:
        yield PciSite(made, bound, request.param)


@pytest.fixture
def card(request, bound):
    """Of that kind. What is not about forwarding has one or two: each start of sluiced takes seconds here."""
    return bound[request.param]
