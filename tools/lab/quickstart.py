"""The entry of tools/quickstart: each step tells what it does and why, the last line is the result."""

import argparse
import difflib
import json
import pathlib
import signal
import subprocess
import sys
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from lab import clients, servers  # noqa: E402
from lab.balancer import DECAP, SLUICECTL, SLUICED, Balancer  # noqa: E402
from lab.network import Lab, run  # noqa: E402
from lab.process import Failure, wait_until  # noqa: E402
from lab.site import NAT_ADDRESSES, TRANSLATED, TUNNELS, VIRTUAL, Site  # noqa: E402

BPF_FILES = pathlib.Path("/sys/fs/bpf")
PICTURE = """\
     client                               balancer
     {client:<33}    {balancer:<16}  sluiced on eth0, with the virtual
       |                                     |                   address {virtual}
   ----+-----+----------------+--------------+-+------
             |                |                |
           web1             web2             web3                nginx, each answers its name
           {web1:<16} {web2:<16} {web3:<16}"""
WHY = {
    "dsr_l2": "Only the MAC addresses change. The servers hold the virtual address themselves and answer the client\n"
              "directly: answers do not pass the balancer (direct server return).",
    "ipip": "Packets travel to the servers inside IP-in-IP, over any routed network. The servers unpack them\n"
            "(here with build/tools/decap/decap) and answer the client directly.",
    "gue": "Packets travel to the servers inside UDP (GUE), whose source port differs by flow, so that routers and\n"
           "network cards spread them. The servers unpack them (here with build/tools/decap/decap) and answer the\n"
           "client directly.",
    "nat": "The destination becomes the server's own address, the client's stays. The servers answer through the\n"
           "balancer (their route to the client goes by it), which translates back. They hold no virtual address.",
    "full_nat": "Both ends are translated: servers see an address of the balancer as their client and answer that,\n"
                "whatever their routes are. They need nothing at all.",
}
REAL_MACHINE = """\
 1. build/sluiced --check --config=FILE    tells every mistake of your file with its place
 2. In the file (docs/configuration.md; config/ has one for each way of forwarding), give the port:
      - {name: eth0}                       a kernel interface, over AF_XDP; SSH and the rest of its traffic go on
      - {pci: "0000:3b:00.0"}              a NIC bound to vfio-pci; the kernel sees it as the tap sluice0
 3. On each server: the virtual address on lo, never answered for on the link:
      ip address add 203.0.113.10/32 dev lo; sysctl net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
    and for ipip and gue a tunnel device of its kernel, or: build/tools/decap/decap --interface=eth0
    With nat instead: a route to the clients by this machine. With full_nat: nothing.
 4. build/sluiced --config=FILE            then edit the file and reload it: build/sluiced --reload --config=FILE
 5. build/sluicectl status                 what runs; list, backend add, drain, ... see or change it (sluicectl --help)
"""


def title(words):
    print(f"\n== {words}", flush=True)


def tell(words):
    print(words, flush=True)


def options_of_command_line():
    parser = argparse.ArgumentParser(prog="tools/quickstart", description="Shows Sluice at work on this machine.")
    parser.add_argument("--engine", choices=["dpdk", "xdp"], default="dpdk")
    parser.add_argument("--forwarding", choices=sorted(WHY), default="dsr_l2")
    parser.add_argument("--family", type=int, choices=[4, 6], default=4)
    parser.add_argument("--backend_family", type=int, choices=[4, 6],
                        help="of the servers, with full_nat; as the client's when absent")
    parser.add_argument("--requests", type=int, default=3000, help="of the first round; 3,000 when absent")
    options = parser.parse_args()
    if options.requests < 30:
        parser.error("--requests: at least 30, or chance decides who gets one")
    if options.backend_family not in (None, options.family) and options.forwarding != "full_nat":
        parser.error("--backend_family: only full_nat translates between IPv4 and IPv6")
    options.backend_family = options.backend_family or options.family
    return options


def build():
    """Builds what is needed to run; the compilers' output is shown when they fail."""
    title("Build")
    begin = time.monotonic()
    if not (ROOT / "build" / "build.ninja").exists():
        tell("The first build takes some minutes.")
        _run_quietly(["meson", "setup", "build"])
    targets = [str(path.relative_to(ROOT / "build")) for path in (SLUICED, SLUICECTL, DECAP)]
    _run_quietly(["ninja", "-C", "build", *targets])
    tell(f"build/sluiced is there ({time.monotonic() - begin:.0f} s).")


def _run_quietly(command):
    ran = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
    if ran.returncode != 0:
        tell(ran.stdout)
        raise Failure(f"{' '.join(command)} failed; its output is above")


def mount_bpf_files(lab):
    """sluiced keeps its XDP program there; unmounted again when this script mounted it and nobody else uses it."""
    with open("/proc/mounts", encoding="utf-8") as mounts:
        if any(line.split()[1:3] == [str(BPF_FILES), "bpf"] for line in mounts):
            return
    run(["mount", "-t", "bpf", "bpf", BPF_FILES])
    lab.at_close(lambda: any(BPF_FILES.iterdir()) or run(["umount", BPF_FILES], check=False))


def configuration(site, options):
    """The shipped example of this way of forwarding, with the addresses of this network."""
    shipped = yaml.safe_load((ROOT / "config" / f"{options.forwarding}.yaml").read_text())
    engine = {**shipped["engine"], "type": options.engine}
    if options.engine == "xdp":
        engine.pop("workers", None)
    if options.forwarding in TUNNELS:
        engine["tunnel_source"] = {f"ipv{options.family}": site.address(options.family)}
    if options.forwarding in TRANSLATED:
        engine["nat_addresses"] = NAT_ADDRESSES
    listener = next(entry for entry in shipped["listeners"] if (":" in entry["address"]) == (options.family == 6))
    pool = next(entry for entry in shipped["pools"] if entry["name"] == listener["pool"])
    if options.engine == "xdp":
        # It sends no packets of its own.
        listener.pop("reset_on_idle", None)
    listener["address"] = VIRTUAL[options.family]
    pool["backends"] = [{"name": backend.name, "address": backend.addresses[options.backend_family]}
                        for backend in site.backends]
    return {"engine": engine, "listeners": [listener], "pools": [pool]}


class Quickstart:
    """One run: the network, the balancer on it, and what the clients saw."""

    def __init__(self, lab, options):
        self.lab = lab
        self.options = options
        self.family = options.family
        self.failed = 0
        self.spread = {}
        self.failover = None

    def lay_out(self):
        title("Network")
        self.site = Site(self.lab, self.options.forwarding, queues=2, engine=self.options.engine)
        self.client = self.site.add_client()
        self.site.add_backends(3)
        addresses = {backend.name: backend.addresses[self.options.backend_family] for backend in self.site.backends}
        client = {4: "203.0.113.100", 6: "2001:db8::100"}[self.family]
        tell(PICTURE.format(client=client, balancer=self.site.address(self.family), virtual=VIRTUAL[self.family],
                            **addresses))

    def start(self):
        title(f"sluiced, engine {self.options.engine}, forwarding {self.options.forwarding}")
        tell(WHY[self.options.forwarding])
        self.balancer = Balancer(self.site.node, configuration(self.site, self.options))
        self.balancer.write()
        tell(f"\nIts file, config/{self.options.forwarding}.yaml with the addresses of this network:\n")
        tell(_indented(self.balancer.file.read_text()))
        self.balancer.start()
        tell("sluiced serves.")

    def request(self, requests, expected):
        """Sends requests, shows who answered; Failure unless just the expected servers did."""
        answer = clients.http_requests(self.client, VIRTUAL[self.family], requests)
        self.failed += answer["failed"]
        for name, count in answer["spread"].items():
            tell(f"  {name}  {count:>6}  {'#' * (40 * count // max(answer['spread'].values()))}")
        tell(f"  failed {answer['failed']:>4}   in {answer['seconds']:.1f} s")
        for words, count in answer["errors"].items():
            tell(f"         {count} x {words}")
        if sorted(answer["spread"]) != sorted(expected):
            raise Failure(f"answers came from {', '.join(answer['spread']) or 'nobody'}, not {', '.join(expected)}")
        return answer["spread"]

    def balance(self):
        title(f"{self.options.requests} requests from the client to {VIRTUAL[self.family]}, each a new connection")
        self.spread = self.request(self.options.requests, ["web1", "web2", "web3"])

    def edit(self):
        """Removes a server in the file, and brings it back."""
        backends = self.balancer.configuration["pools"][0]["backends"]
        title("The file without web2, and a reload")
        removed = backends.pop(1)
        self._reload()
        self.request(self.options.requests // 3, ["web1", "web3"])
        title("web2 again")
        backends.insert(1, removed)
        self._reload()
        self.request(self.options.requests // 3, ["web1", "web2", "web3"])

    def fail_over(self):
        """Kills a server: requests fail until its health check finds out, and none does from then on."""
        server = self.site.backends[1]
        title("The nginx of web2 is killed; a request every 10 ms")
        # As long as it is not checked yet, its first check alone would tell.
        wait_until(lambda: self._all_are("health", "HEALTHY"), "the health checks of all servers")
        watch = clients.HttpWatch(self.client, VIRTUAL[self.family])
        watch.back_after(time.monotonic(), "web2")
        begin = time.monotonic()
        server.web.kill()
        self.failover = watch.left_after(begin, ["web1", "web3"])
        lost = sum(words.startswith("failed") for _, _, words in watch.requests(begin))
        tell(f"  {lost} requests failed in {1000 * self.failover:.0f} ms, until sluiced said:")
        self._tell_log("web2 (", "unhealthy")
        self._ctl("health")
        self.request(self.options.requests // 3, ["web1", "web3"])
        title("Its nginx is started again")
        begin = time.monotonic()
        server.web = servers.web(server.node)
        tell(f"  requests go to it after {1000 * watch.back_after(begin, 'web2'):.0f} ms:")
        watch.stop()
        self._tell_log("web2 (", "healthy again")
        self.request(self.options.requests // 3, ["web1", "web2", "web3"])

    def _tell_log(self, *words):
        """The last line of sluiced's log that has these words."""
        lines = [line for line in self.balancer.process.output().splitlines() if all(word in line for word in words)]
        if not lines:
            raise Failure(f"sluiced's log says nothing of {' '.join(words)}")
        tell(f"    {lines[-1].partition('sluiced: ')[2]}")

    def change_over_api(self):
        """Takes a server out and adds it back while it runs; the file stays as it is."""
        pool = self.balancer.configuration["pools"][0]
        backend = f"{pool['name']}/web3"
        title("web3 drained and removed over the API")
        self._ctl("backend", "drain", backend)
        self._ctl("backend", "remove", backend)
        self.request(self.options.requests // 3, ["web1", "web2"])
        title("web3 added back over the API")
        self._ctl("backend", "add", backend, pool["backends"][2]["address"])
        wait_until(lambda: self._all_are("condition", "READY"), "sluiced to find the way to web3")
        self.request(self.options.requests // 3, ["web1", "web2", "web3"])
        tell("")
        self._ctl("list", "--stats")

    def _ctl(self, *words):
        tell(f"  sluicectl {' '.join(words)}")
        for line in self.balancer.ctl(*words).stdout.splitlines():
            tell(f"    {line}")

    def _all_are(self, key, value):
        """Whether sluicectl lists every backend with that condition, or that state of its health."""
        listed = json.loads(self.balancer.ctl("list", "-o", "json").stdout)
        found = [backend.get(key) for pool in listed["pools"] for backend in pool["backends"]]
        return all((one.get("state") if isinstance(one, dict) else one) == value for one in found)

    def _reload(self):
        before = self.balancer.file.read_text().splitlines()
        answer = self.balancer.reload()
        after = self.balancer.file.read_text().splitlines()
        for line in list(difflib.unified_diff(before, after, lineterm="", n=0))[3:]:
            tell(f"  {line}")
        if "generation=" not in answer:
            raise Failure(f"the reload was refused: {answer}")
        tell("  sluiced: every worker runs generation " + answer.partition("generation=")[2].split()[0])

    def result(self):
        options = self.options
        return (f"engine={options.engine} forwarding={options.forwarding} family={options.family} "
                f"requests={options.requests} failed={self.failed} "
                f"spread={'/'.join(str(count) for count in self.spread.values()) or '-'} "
                f"failover_ms={'-' if self.failover is None else round(1000 * self.failover)}")


def _indented(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def interruptible():
    """Ctrl-C, an end by SIGTERM and a closed terminal are one thing, also where the caller ignores them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def uninterruptible():
    """For the clean-up, that a second Ctrl-C must not stop."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main():
    options = options_of_command_line()
    interruptible()
    show = None
    reason = ""
    lab = None
    try:
        build()
        lab = Lab("quickstart")
        mount_bpf_files(lab)
        show = Quickstart(lab, options)
        show.lay_out()
        show.start()
        show.balance()
        show.edit()
        show.fail_over()
        show.change_over_api()
        show.balancer.stop()
        title("On a real machine")
        tell(REAL_MACHINE)
    except KeyboardInterrupt:
        reason = "interrupted"
    except Failure as failure:
        reason = f"{failure}".splitlines()[0]
        tell(f"\n{failure}")
    finally:
        uninterruptible()
        if lab is not None:
            lab.close()
    if show is not None and show.failed and not reason:
        reason = "requests failed"
    result = show.result() if show is not None else f"engine={options.engine}"
    tell(f"quickstart: FAIL {result} reason={reason}" if reason else f"quickstart: PASS {result}")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
