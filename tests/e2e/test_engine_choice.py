"""engine.type: auto takes dpdk, else xdp, in the driver or else in the kernel's generic path; and says why.

   client ---- LAN ----+---- balancer (on eth0, or on a bridge of its own over eth0, whose driver has no XDP)
                       '---- web1 web2 web3
"""

import json

import pytest
from lab import clients
from lab.process import wait_until
from lab.site import VIRTUAL, Site


@pytest.fixture
def site(lab):
    made = Site(lab, engine="auto")
    made.client = made.add_client()
    made.add_backends(3)
    return made


def served_by(site, balancer):
    """(engine, why, mode of its port) as `sluicectl status` says, when all requests are answered."""
    answer = clients.http_requests(site.client, VIRTUAL[4], 300)
    assert answer["failed"] == 0 and len(answer["spread"]) == 3, answer
    status = json.loads(balancer.ctl("status", "-o", "json").stdout)
    assert status["engine_reason"] in balancer.ctl("status").stdout
    assert f"engine {status['engine'].lower()}: {status['engine_reason']}" in balancer.process.output()
    return status["engine"], status["engine_reason"], status["ports"][0]["mode"]


def over_bridge(site):
    """The node's addresses and cable belong to a bridge."""
    node = site.node
    shown = json.loads(node.run("ip", "-j", "address", "show", "dev", "eth0").stdout)[0]["addr_info"]
    node.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set dev eth0 master br0",
            f"link set dev br0 address {node.mac()} up")
    for address in shown:
        if address["scope"] == "global":
            node.ip(f"address del {address['local']}/{address['prefixlen']} dev eth0")
            node.add_address(f"{address['local']}/{address['prefixlen']}", "br0")


def test_dpdk_where_it_starts(site):
    balancer = site.balancer(site.configuration(4)).start()
    engine, why, mode = served_by(site, balancer)
    assert engine == "DPDK" and mode.startswith("af_xdp"), (engine, mode)
    assert why == "type is auto, and dpdk starts over AF_XDP"


def test_xdp_where_dpdk_does_not(site):
    configuration = site.configuration(4)
    configuration["engine"]["workers"] = 2
    balancer = site.balancer(configuration).start()
    engine, why, mode = served_by(site, balancer)
    assert engine == "XDP" and mode.startswith("native XDP"), (engine, mode)
    assert why.startswith("type is auto, and dpdk does not start here: eth0 has 1 RX queues"), why


def test_the_generic_path_where_the_driver_has_no_xdp(site):
    over_bridge(site)
    configuration = site.configuration(4)
    configuration["engine"].update(workers=2, interfaces=[{"name": "br0"}])
    balancer = site.balancer(configuration).start()
    # What the driver can is known once the program is there, and is looked at once a second.
    balancer.process.wait_for_output("warning sluiced: port br0: generic XDP")
    wait_until(lambda: served_by(site, balancer)[2].startswith("generic XDP"), "the status to say so")
    engine, why, _ = served_by(site, balancer)
    assert engine == "XDP", engine
    assert "dpdk does not start here: br0" in why, why
