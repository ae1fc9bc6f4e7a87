"""The network around a balancer that most tests and quickstart use; each adds the hosts it needs.

       client                 far client                          .------- gateway ------.
     203.0.113.100      198.51.100.100 -- near router -- router   |  .3             192.0.2.1
          |                                                | .1   |                      |
   =======+===================+=========+=========+========+======+====  LAN      =======+====+=====  back LAN
                              |         |         |                                      |    |
                          balancer     web1      web2 ...                              web4  web5 ...
                             .2         .11       .12                                  .11    .12

LAN: 203.0.113.0/24 and 2001:db8::/64, far: 198.51.100.0/24 and 2001:db8:1::/64, back: 192.0.2.0/24 and 2001:db8:2::/64.
The virtual address is 203.0.113.10 and 2001:db8::10: on the link, but of no kernel's interface but the servers' lo;
and not of that where packets are translated. With nat, servers have a route to each client by the balancer.
"""

import dataclasses

from lab import servers
from lab.balancer import DECAP, Balancer
from lab.network import Node, Switch
from lab.process import Process

VIRTUAL = {4: "203.0.113.10", 6: "2001:db8::10"}
_LAN = {4: "203.0.113.{}/24", 6: "2001:db8::{}/64"}
_FAR = {4: "198.51.100.{}/24", 6: "2001:db8:1::{}/64"}
_BACK = {4: "192.0.2.{}/24", 6: "2001:db8:2::{}/64"}
_MIDDLE = {4: "10.0.0.{}/24", 6: "2001:db8:3::{}/64"}
FAMILIES = (4, 6)
TUNNELS = ("ipip", "gue")
TRANSLATED = ("nat", "full_nat")
NAT_ADDRESSES = ["203.0.113.64/30", "2001:db8::64:0/126"]


def _host(network, family, number):
    return network[family].format(number).partition("/")[0]


def _network(network, family):
    return network[family].format("0" if family == 4 else "")


def _address(node, network, number, interface="eth0"):
    for family in FAMILIES:
        node.add_address(network[family].format(number), interface)


@dataclasses.dataclass
class Backend:
    """A server of the site."""
    name: str
    node: Node
    lan: Switch
    addresses: dict  # family -> its own address
    serves: dict  # family -> the address that clients' packets have when they get here
    web: Process  # nginx


class Site:
    """A LAN with a balancer, and what add_...() put beside it."""

    def __init__(self, lab, forwarding="dsr_l2", queues=1, mtu=1500, engine="dpdk"):
        self.lab = lab
        self.forwarding = forwarding
        self.mtu = mtu
        self.queues = queues
        self.engine = engine
        self.lan = lab.switch("lan")
        self.lan.ip(f"link set dev br0 mtu {mtu}")
        self.node = lab.node("balancer")
        # What an XDP program redirects to a veth reaches the other end only where that takes packets in bunches.
        self.node.connect(self.lan, queues=queues, mtu=mtu).run("ethtool", "-K", self.node.name, "gro", "on")
        _address(self.node, _LAN, 2)
        self.backends = []
        self.clients = []  # (family, network) of those that servers answer through the balancer with nat
        self.back = None
        self.router = None

    def address(self, family):
        """The balancer's own address."""
        return _host(_LAN, family, 2)

    def add_client(self, name="client", number=100):
        """A client on the LAN. One queue: then the switch spreads its flows over the queues of the balancer."""
        client = self.lab.node(name)
        client.connect(self.lan, mtu=self.mtu)
        _address(client, _LAN, number)
        self._answer_by_balancer([_host(_LAN, family, number) for family in FAMILIES])
        return client

    def _answer_by_balancer(self, networks):
        """With nat, answers to these go through the balancer."""
        if self.forwarding != "nat":
            return
        self.clients += networks
        for backend in self.backends:
            self._route_answers(backend.node, networks)

    def _route_answers(self, node, networks):
        for network in networks:
            node.add_route(network, self.address(6 if ":" in network else 4))

    def add_far_client(self, path_mtu=1500):
        """A client behind two routers, for the servers there are so far on the LAN; the cable between the routers
        carries no more than `path_mtu`."""
        self.router = self._router("router", self.lan, _LAN, 1, "lan0")
        near = self.lab.node("near", net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        near.connect(self.router, interface="up0", port="near0", mtu=path_mtu)
        _address(near, _MIDDLE, 2, "up0")
        _address(self.router, _MIDDLE, 1, "near0")
        client = self.lab.node("farclient")
        client.connect(near, port="down0")
        _address(near, _FAR, 1, "down0")
        _address(client, _FAR, 100)
        for family in FAMILIES:
            client.add_route("default", _host(_FAR, family, 1))
            near.add_route(_network(_LAN, family), _host(_MIDDLE, family, 1), "up0")
            self.router.add_route(_network(_FAR, family), _host(_MIDDLE, family, 2), "near0")
            for node in (self.node, *(backend.node for backend in self.backends if backend.lan is self.lan)):
                node.add_route(_network(_FAR, family), _host(_LAN, family, 1))
        self._answer_by_balancer([_network(_FAR, family) for family in FAMILIES])
        return client

    def _router(self, name, lan, network, number, interface):
        router = self.lab.node(name, net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        router.connect(lan, interface=interface, port=name, mtu=self.mtu)
        _address(router, network, number, interface)
        return router

    def add_backends(self, count=3, files=None):
        """Servers on the LAN that take the virtual address and answer HTTP; web1, web2, ..."""
        return [self._add_backend(self.lan, _LAN, files) for _ in range(count)]

    def add_backends_behind_gateway(self, count=2, files=None):
        """Servers that the balancer reaches over a gateway only."""
        if self.back is None:
            self.back = self.lab.switch("back")
            gateway = self._router("gateway", self.lan, _LAN, 3, "lan0")
            gateway.connect(self.back, interface="back0", port="gateway")
            _address(gateway, _BACK, 1, "back0")
            for family in FAMILIES:
                self.node.add_route(_network(_BACK, family), _host(_LAN, family, 3))
        added = [self._add_backend(self.back, _BACK, files) for _ in range(count)]
        for backend in added:
            for family in FAMILIES:
                backend.node.add_route("default", _host(_BACK, family, 1))
        return added

    def _add_backend(self, lan, network, files):
        name = f"web{len(self.backends) + 1}"
        number = 11 + sum(backend.lan is lan for backend in self.backends)
        # The virtual address is on lo: the kernel must neither answer ARP for it nor ask with it.
        node = self.lab.node(name, net__ipv4__conf__all__arp_ignore=1, net__ipv4__conf__all__arp_announce=2)
        node.connect(lan, mtu=self.mtu)
        _address(node, network, number)
        own = {family: _host(network, family, number) for family in FAMILIES}
        if self.forwarding in TRANSLATED:
            self._route_answers(node, self.clients)
        else:
            self.hold_virtual_address(node)
        if self.forwarding in TUNNELS:
            self.take_tunnels_off(node)
        serves = own if self.forwarding in TRANSLATED else VIRTUAL
        backend = Backend(name, node, lan, own, serves, servers.web(node, files))
        self.backends.append(backend)
        return backend

    def hold_virtual_address(self, node):
        """Has a server take packets for it."""
        for family in FAMILIES:
            node.add_address(VIRTUAL[family] + ("/32" if family == 4 else "/128"), "lo")

    def take_tunnels_off(self, node):
        """Of packets for the virtual address that come to a server."""
        node.start("decap", DECAP, "--interface=eth0").wait_for_output("decap: ready")

    def configuration(self, family=4, backend_family=None, backends=None, workers=1):
        """What a shipped file says, for this site: every port of the servers; pool `web` is `backends` or all of them.

        iperf3 needs both of its connections at one server: its pool `one` is the first backend alone.
        """
        chosen = self.backends if backends is None else backends
        entries = [{"name": backend.name, "address": backend.addresses[backend_family or family]} for backend in chosen]
        engine = {"type": self.engine, "max_connections": "64k", "interfaces": [{"name": "eth0"}]}
        if self.engine == "dpdk":
            engine["workers"] = workers
        if self.forwarding in TUNNELS:
            engine["tunnel_source"] = {f"ipv{f}": self.address(f) for f in FAMILIES}
        if self.forwarding in TRANSLATED:
            engine["nat_addresses"] = NAT_ADDRESSES
        address = VIRTUAL[family]
        return {
            "engine": engine,
            "listeners": [
                {"name": "web", "address": address, "ports": [servers.WEB_PORT, servers.UPLOAD_PORT],
                 "protocol": "tcp", "pool": "web"},
                {"name": "dns", "address": address, "ports": [53], "protocol": "tcp_udp", "pool": "web"},
                {"name": "echo", "address": address, "ports": [servers.ECHO_PORT], "protocol": "udp", "pool": "web"},
                {"name": "many", "address": address, "ports": [servers.MANY_PORT], "protocol": "tcp", "pool": "web"},
                {"name": "iperf", "address": address, "ports": [5201], "protocol": "tcp_udp", "pool": "one"},
            ],
            "pools": [
                {"name": "web", "forwarding": self.forwarding, "backends": entries},
                {"name": "one", "forwarding": self.forwarding, "backends": [dict(entries[0])]},
            ],
        }

    def balancer(self, configuration):
        """sluiced on the balancer's node, not started."""
        return Balancer(self.node, configuration)
