"""What the end-to-end tests share."""

import hashlib
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from lab.balancer import DECAP, SLUICECTL, SLUICED  # noqa: E402
from lab.fixtures import clean_up_when_terminated, lab, new_lab, pytest_runtest_makereport  # noqa: E402, F401
from lab.site import Site  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: looks at times, so no other test runs beside it")
    config.addinivalue_line("markers", "upgrade: needs the build before this one, which tools/check upgrade makes")
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests need root; run: sudo tools/check e2e", 1)
    for program in (SLUICED, SLUICECTL, DECAP):
        if not program.exists():
            pytest.exit(f"no {program.relative_to(ROOT)}; run: sudo tools/check e2e, which builds it", 1)
    clean_up_when_terminated()


@pytest.fixture(params=("dpdk", "xdp"))
def engine(request):
    """For what both engines have to do alike."""
    return request.param


@pytest.fixture
def site(lab, engine):
    """A client and four servers, for what changes a balancer as it runs."""
    made = Site(lab, engine=engine)
    made.client = made.add_client()
    made.add_backends(4)
    return made


@pytest.fixture
def balancer(site):
    """Of that site; runs with web1, web2 and web3."""
    return site.balancer(site.configuration(4, backends=site.backends[:3])).start()


@pytest.fixture(scope="session")
def large_file(tmp_path_factory):
    """(path, SHA-256) of 100 MB that nothing compresses."""
    path = tmp_path_factory.mktemp("files") / "large"
    content = os.urandom(100_000_000)
    path.write_bytes(content)
    yield path, hashlib.sha256(content).hexdigest()
    path.unlink()
