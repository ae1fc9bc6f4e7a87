"""Fixtures of tests in labs: labs that go away, and their logs when a test fails."""

import contextlib
import signal

import pytest

from lab.network import Lab

_open_labs = []


def clean_up_when_terminated():
    """A killed run cleans up as an interrupted one does."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))


@contextlib.contextmanager
def _lab(name):
    lab = Lab(name)
    _open_labs.append(lab)
    try:
        yield lab
    finally:
        _open_labs.remove(lab)
        lab.close()


@pytest.fixture
def lab(request):
    """An empty lab for one test."""
    with _lab(request.node.name) as made:
        yield made


@pytest.fixture(scope="session")
def new_lab():
    """For fixtures of more than one test: a context manager that makes an empty lab of that name."""
    return _lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the ends of all logs to the report of a failed test."""
    del item, call
    report = (yield).get_result()
    if report.failed:
        for lab in _open_labs:
            for name, text in lab.logs().items():
                if text.strip():
                    report.sections.append((f"log of {name}", "\n".join(text.splitlines()[-40:])))
