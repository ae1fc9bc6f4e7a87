"""The life of a sluiced that has PCI devices, and what may happen to them.

   client ---- LAN ----+---- cable ---- card (PCI, DPDK's) -- sluiced -- sluice0 (tap)
                       '---- web1 web2
"""

import time

import pytest
from guide import bind
from lab import clients
from lab.network import run
from lab.process import wait_until
from lab.site import VIRTUAL
from monitor import Monitor

pytestmark = pytest.mark.parametrize("site", ("dsr_l2",), indirect=True)


@pytest.fixture
def monitor():
    made = Monitor()
    yield made
    made.close()


def served(site):
    answer = clients.http_requests(site.client, VIRTUAL[4], 40, timeout=20)
    return answer["failed"] == 0 and len(answer["spread"]) == 2


def unbroken(held, count):
    asked = held.ask()
    return asked["open"] == count and not asked["broken"] and not asked["moved"], asked


@pytest.mark.parametrize("card", ("virtio", "e1000"), indirect=True)
def test_a_thousand_connections_over_reloads_and_changes(site, card):
    balancer = site.balancer_with(card).start(60)
    held = clients.HeldConnections(site.client, VIRTUAL[4], 1000, timeout=60)
    for weight in (3, 1, 2):
        balancer.configuration["pools"][0]["backends"][0]["weight"] = weight
        assert "generation=" in balancer.reload()
        good, asked = unbroken(held, 1000)
        assert good, asked
    balancer.ctl("backend", "drain", "web/web1")
    assert set(clients.http_requests(site.client, VIRTUAL[4], 40, timeout=5)["spread"]) == {"web2"}
    good, asked = unbroken(held, 1000)
    assert good, asked
    balancer.ctl("backend", "ready", "web/web1")
    assert served(site)
    balancer.stop()


@pytest.mark.parametrize("card", ("e1000",), indirect=True)
def test_stop_and_start_again_kill_and_start_again(site, card):
    """With dsr_l2 the flow's hash finds its server again; there is nobody to forward meanwhile."""
    balancer = site.balancer_with(card).start(60)
    held = clients.HeldConnections(site.client, VIRTUAL[4], 100, timeout=60)
    balancer.stop()
    balancer.start(60)
    good, asked = unbroken(held, 100)
    assert good and served(site), asked
    balancer.kill()
    balancer.start(60)
    good, asked = unbroken(held, 100)
    assert good and served(site), asked
    balancer.stop()


@pytest.mark.parametrize("card", ("virtio",), indirect=True)
def test_the_link_goes_down_and_comes_back(site, card, monitor):
    balancer = site.balancer_with(card).start(60)
    assert served(site)
    monitor.command("set_link", name=card.name, up=False)
    balancer.process.wait_for_output(f"warning sluiced: port {card.pci}: link down", 30)
    wait_until(lambda: "NO-CARRIER" in site.node.run("ip", "link", "show", "sluice0").stdout, "the tap to follow")
    monitor.command("set_link", name=card.name, up=True)
    wait_until(lambda: "LOWER_UP" in site.node.run("ip", "link", "show", "sluice0").stdout, "the tap to follow", 30)
    wait_until(lambda: served(site), "traffic to go on", 60)
    balancer.stop()


def test_a_device_is_unbound_and_the_other_goes_on(site, bound):
    other = bound["e1000"]
    balancer = site.balancer_with(bound["virtio"], others=[other]).start(60)
    load = clients.HttpLoad(site.client, VIRTUAL[4], timeout=30)
    begin = time.monotonic()
    # Returns when sluiced has let go of it.
    run(["/bin/bash", "-c", f"echo {other.pci} > /sys/bus/pci/drivers/vfio-pci/unbind"], timeout=30)
    print(f"given up after {time.monotonic() - begin:.1f} s")
    balancer.process.wait_for_output(f"warning sluiced: port {other.pci}: the device is taken away", 10)
    balancer.process.wait_for_output(f"port {other.pci}: link down", 10)
    assert "generation=" in balancer.reload()
    assert served(site)
    answer = load.stop()
    # Other tests want it.
    bind(other.pci)
    assert answer["failed"] == 0, answer
    balancer.stop()
    balancer.start(60)
    assert served(site) and "sluice1" in site.node.run("ip", "link").stdout
    balancer.stop()
