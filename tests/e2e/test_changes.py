"""A thousand random changes over the file, the API and health, under load, beside a model of what they come to.

   client ---- LAN ----+---- balancer        checks HEALTH_PORT of each server
                       '---- web1 web2 (nobody touches them) web3 web4
"""

import copy
import random
import statistics
import time

from lab import clients, servers
from lab.api_client import ApiClient
from lab.balancer import dump
from lab.process import wait_until
from lab.site import VIRTUAL, Site

CHANGES = 1_000
CONCURRENCY = 4
STATES = ("READY", "DRAIN", "DISABLED")
CHECK = {"type": "tcp", "port": servers.HEALTH_PORT, "interval": "200ms", "timeout": "150ms", "rise": 2, "fall": 2}


class Model:
    """What docs/decisions/kept-changes.md says: a base, and changes over it. A backend is (weight, state) by name."""

    def __init__(self, base):
        self.base = dict(base)
        self.changes = {}
        # Whose checks fail.
        self.down = set()

    def conditions(self):
        """What each backend does: what the operator wants first, then what its checks say."""
        def condition(name, weight, state):
            if state != "READY":
                return state
            if weight == 0:
                return "NO_WEIGHT"
            return "UNHEALTHY" if name in self.down else "READY"
        return {name: condition(name, *backend) for name, backend in self.wanted().items()}

    def wanted(self):
        wanted = dict(self.base)
        for name, change in self.changes.items():
            if change is None:
                del wanted[name]
            else:
                weight, state = wanted.get(name, (None, None))
                wanted[name] = (change.get("weight", weight), change.get("state", state))
        return wanted

    def set(self, name, backend):
        """The backend as it shall be, None when it shall be gone."""
        self.changes.pop(name, None)
        original = self.base.get(name)
        if backend == original:
            return
        if backend is None:
            self.changes[name] = None
        elif original is None:
            self.changes[name] = {"weight": backend[0], "state": backend[1]}
        else:
            fields = (("weight", 0), ("state", 1))
            self.changes[name] = {field: backend[i] for field, i in fields if backend[i] != original[i]}

    def reload(self, base):
        """Additions that the base has by now, and changes of what it has not, are over."""
        before, self.base = self.base, dict(base)
        self.changes = {name: change for name, change in self.changes.items() if (name in before) == (name in base)}


class Changes:
    """Makes changes of web3 and web4, of the balancer and of the model alike."""

    def __init__(self, site, balancer, seed):
        self.random = random.Random(seed)
        self.balancer = balancer
        self.api = None
        self.addresses = {backend.name: backend.addresses[4] for backend in site.backends}
        self.checked = {backend.name: servers.Health(backend.node) for backend in site.backends}
        self.model = Model({name: (1, "READY") for name in self.addresses})
        # Changes that end flows which a backend has.
        self.cruel = 0
        self.failures = 0
        self.seconds = []

    def begin(self):
        self.balancer.start()
        self.api = ApiClient(self.balancer.api)
        self.settle()

    def settle(self):
        """Waits until the checks have found what the model says."""
        wait_until(lambda: self.conditions() == self.model.conditions(),
                   lambda: f"{self.model.conditions()} instead of {self.conditions()}")

    def one(self):
        name = self.random.choice(("web3", "web4"))
        chance = self.random.random()
        if chance < 0.05:
            return self.reload()
        if chance < 0.15:
            return self.fail_or_recover(name)
        if name not in self.model.wanted():
            return self.add(name)
        return self.remove(name) if self.random.random() < 0.2 else self.update(name)

    def add(self, name):
        weight = self.random.randrange(1, 9)
        self._call("AddBackend", backend={"name": name, "address": self.addresses[name], "weight": weight})
        self.model.set(name, (weight, "READY"))

    def remove(self, name):
        self._call("RemoveBackend", backend=name)
        self.model.set(name, None)
        self.cruel += 1

    def update(self, name):
        weight, state = self.random.randrange(0, 9), self.random.choice(STATES)
        self._call("UpdateBackend", backend=name, weight=weight, state=state)
        self.model.set(name, (weight, state))
        self.cruel += state == "DISABLED"

    def fail_or_recover(self, name):
        """What the checks of the server ask is killed, or comes back; what its clients ask is not touched."""
        self.checked[name].set("ok" if name in self.model.down else "down")
        self.model.down ^= {name}
        self.failures += name in self.model.down

    def crash(self):
        """Everything acknowledged is there afterwards."""
        self.api.close()
        self.balancer.kill()
        self.balancer.start()
        self.api = ApiClient(self.balancer.api)
        assert self.running() == self.model.wanted()

    def reload(self):
        """Another file: web3 and web4 with other weights, or without one of them."""
        base = {"web1": (1, "READY"), "web2": (1, "READY")}
        for name in ("web3", "web4"):
            if self.random.random() < 0.7:
                base[name] = (self.random.randrange(0, 9), "READY")
        self.balancer.configuration["pools"][0]["backends"] = [
            {"name": name, "address": self.addresses[name], "weight": weight} for name, (weight, _) in base.items()]
        assert "generation=" in self.balancer.reload()
        self.model.reload(base)
        self.cruel += 2

    def running(self):
        pool = self.api.call("Get")["config"]["pools"][0]
        return {one["name"]: (one["weight"], one["state"]) for one in pool["backends"]}

    def conditions(self):
        pool = self.api.call("List", pool="web")["pools"][0]
        return {one["name"]: one["condition"] for one in pool["backends"]}

    def _call(self, method, **fields):
        begin = time.monotonic()
        self.api.call(method, pool="web", **fields)
        self.seconds.append(time.monotonic() - begin)


def test_a_thousand_changes_come_to_what_the_model_says(lab, engine):
    """Killed twice in the middle of them."""
    seed = random.randrange(1_000_000)
    print(f"\nseed {seed}")
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(4)
    configuration = site.configuration(4)
    configuration["pools"][0]["health_check"] = CHECK
    balancer = site.balancer(configuration)
    changes = Changes(site, balancer, seed)
    changes.begin()
    held = clients.HeldConnections(client, VIRTUAL[4], 200, timeout=4)
    load = clients.HttpLoad(client, VIRTUAL[4], concurrency=CONCURRENCY, timeout=5)
    crashes = changes.random.sample(range(1, CHANGES), 2)
    for number in range(CHANGES):
        changes.one()
        if number in crashes:
            changes.crash()
        if number % 50 == 0:
            assert changes.running() == changes.model.wanted(), (seed, number)
            changes.settle()
    assert changes.running() == changes.model.wanted(), seed
    answer = load.stop()
    # Whoever is with a backend at the moment when it goes.
    assert answer["failed"] <= CONCURRENCY * changes.cruel and answer["spread"]["web1"] > 100, (seed, answer)
    kept = held.ask()
    for name in ("web1", "web2"):
        assert kept["spread"][name] == held.first["spread"][name], (seed, kept, held.first)
    assert kept["moved"] == 0, (seed, kept)
    changes.crash()
    changes.seconds.sort()
    print(f"{len(changes.seconds)} changes over the API: half within "
          f"{1000 * changes.seconds[len(changes.seconds) // 2]:.0f} ms, the slowest {1000 * changes.seconds[-1]:.0f} "
          f"ms; {changes.failures} servers failed; {answer['requests']} requests, {answer['failed']} failed")


def test_a_large_configuration_is_applied_and_one_weight_in_it_changed(lab, engine):
    """1,000 listeners with a pool of 10 backends each; the time until every worker runs it, and it is kept."""
    site = Site(lab, engine=engine)
    client = site.add_client()
    site.add_backends(3)
    balancer = site.balancer(site.configuration(4)).start()
    large = copy.deepcopy(balancer.configuration)
    for number in range(1_000):
        large["listeners"].append({"name": f"l{number}", "address": VIRTUAL[4], "ports": [10_000 + number],
                                   "protocol": "tcp", "pool": f"p{number}"})
        large["pools"].append({
            "name": f"p{number}", "forwarding": "dsr_l2", "maglev_table_size": 4099,
            "backends": [{"name": f"b{i}", "address": f"203.0.113.{11 + i}"} for i in range(10)]})
    file = balancer.folder / "large.yaml"
    file.write_text(dump(large))
    begin = time.monotonic()
    balancer.ctl("apply", file)
    applied = time.monotonic() - begin
    api = ApiClient(balancer.api)
    # The daemon looks for the next hops of the new backends meanwhile, which makes tables anew.
    wait_until(lambda: api.call("GetStatus")["ready"], "the daemon to be ready")
    seconds, ran = [], []
    for weight in range(2, 42):
        begin = time.monotonic()
        reply = api.call("UpdateBackend", pool="p500", backend="b3", weight=weight)
        seconds.append(time.monotonic() - begin)
        ran.append(float(reply["took"].rstrip("s")))
    status = api.call("GetStatus")
    half_ran, half_kept = (f"{1000 * statistics.median(times):.1f} ms (the fastest {1000 * min(times):.1f})"
                           for times in (ran, seconds))
    print(f"\n{engine}: sluicectl apply of 1,000 listeners with 10 backends each {applied:.2f} s; one weight: half ran "
          f"within {half_ran}, and were acknowledged, on the disk, within {half_kept}; the last tables were built in "
          f"{status['build']['last']} and published in {status['publish']['last']}")
    assert all(0 < one <= both for one, both in zip(ran, seconds)), (ran, seconds)
    assert applied < 10 and statistics.median(seconds) < 1, (applied, seconds)
    assert clients.http_requests(client, VIRTUAL[4], 200)["failed"] == 0
