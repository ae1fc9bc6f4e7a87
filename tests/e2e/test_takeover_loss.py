"""How many packets it costs when the kernel takes over, and when workers take the packets back.

   client ---- LAN ----+---- balancer (an XDP program on eth0; with dpdk, a worker behind it)
                       '---- web1 web2 web3, which send each datagram back
"""

import signal
import time

import pytest
from lab import clients, servers
from lab.process import wait_until
from lab.site import VIRTUAL, Site

RATE = 2_000  # datagrams a second
TAKEOVER_AFTER = 0.2  # seconds, as is the default
# What a worker's ring (1,024 packets) can have got before the kernel takes over: a dead or hanging worker gives its
# last sign of life before it dies. The kernel's clock is a coarse one (up to 10 ms), and the sender may be a few
# packets ahead.
IN_RINGS = int(RATE * (TAKEOVER_AFTER + 0.01)) + 40


@pytest.fixture(params=("dsr_l2", "full_nat"))
def site(lab, request, engine):
    made = Site(lab, request.param, engine=engine)
    made.client = made.add_client()
    for backend in made.add_backends(3):
        servers.udp_echo(backend.node, backend.serves[4])
    return made


@pytest.fixture
def lost(site, capsys):
    """A stream, and a function that prints what an event has cost it, and says whether that is more than it may.
    Nothing is ever refused, or comes to another server, twice or late."""
    made = []

    def count(event, most):
        if not made:
            made.append(clients.UdpStream(site.client, VIRTUAL[4], RATE))
            time.sleep(1)  # what is counted is how many of a second's
        window = made[0].window()
        with capsys.disabled():
            print(f"\n{site.engine} {site.forwarding}, {event}: "
                  + " ".join(f"{name}={value}" for name, value in window.items()), end="", flush=True)
        assert [window[name] for name in ("duplicated", "reordered", "moved", "refused")] == [0, 0, 0, 0], window
        return window["lost"] > most
    return count


def twice(too_much):
    """Two of four times it costs no more than it may: other work on this machine may stop a worker or a server."""
    good = 0
    for left in (3, 2, 1, 0):
        good += not too_much()
        assert good + left >= 2, "too many are lost"
        if good == 2:
            return


def all_is_well(lost):
    """A second in which nothing happens costs nothing."""
    time.sleep(1)
    return lost("all is well", 0)


@pytest.mark.alone
def test_what_ends_and_starts_cost(site, lost):
    """Two crashes, and two orderly ends: only what a dead worker had not read yet is lost."""
    balancer = site.balancer(site.configuration(4)).start()
    twice(lambda: all_is_well(lost))

    def end_and_start(end, most):
        end()
        costs = [lost(f"the end ({end.__name__})", most)]
        time.sleep(5)
        costs.append(lost("5 s without a daemon", 0))
        balancer.start()
        costs.append(lost("the next start", 0))
        return any(costs)
    for end, most in ((balancer.kill, IN_RINGS if site.engine == "dpdk" else 0), (balancer.stop, 0)):
        twice(lambda end=end, most=most: end_and_start(end, most))


@pytest.mark.alone
@pytest.mark.parametrize("engine", ["dpdk"], indirect=True)
def test_what_a_worker_that_hangs_costs(site, lost):
    """What waited in its ring is thrown away when it wakes up; that it wakes up costs nothing."""
    balancer = site.balancer(site.configuration(4)).start()
    twice(lambda: all_is_well(lost))

    def hang_and_go_on():
        before = balancer.process.output().count(". time)")
        balancer.process.signal(signal.SIGSTOP)
        time.sleep(2)
        costs = [lost("a worker hangs for 2 s", IN_RINGS)]
        balancer.process.signal(signal.SIGCONT)
        wait_until(lambda: balancer.process.output().count(". time)") > before, lambda: balancer.process.tail())
        return any([*costs, lost("it goes on", 0)])
    twice(hang_and_go_on)
