"""Sites whose balancer has PCI devices and nothing else."""

from guide import follow_on, guide
from lab.balancer import Balancer
from lab.network import run
from lab.site import Site


class PciSite(Site):
    """Its LAN is on the far ends of the cards' cables; servers are set up as the guide says, tunnels taken off by the
    kernel's own devices."""

    def __init__(self, lab, cards, forwarding="dsr_l2"):
        super().__init__(lab, forwarding)
        self.node.ip("link delete eth0")
        for card in cards.values():
            run(["ip", "link", "set", "dev", card.cable, "netns", self.lan.namespace])
            self.lan.plugged(card.cable)
        self.client = self.add_client()
        self.add_backends(2)

    def hold_virtual_address(self, node):
        follow_on(node, guide("sysctl -w net.ipv4.conf.all.arp_ignore=1"))

    def take_tunnels_off(self, node):
        follow_on(node, [line for line in guide("modprobe ipip") if "fou" not in line])

    def configuration_with(self, card, family=4, others=(), mtu=1500):
        """For listeners of that family on these cards."""
        configuration = self.configuration(family)
        configuration["engine"]["interfaces"] = [
            {"pci": card.pci, "mtu": mtu, "addresses": [f"{self.address(4)}/24", f"{self.address(6)}/64"]},
            *({"pci": other.pci, "addresses": ["198.51.100.2/24"]} for other in others)]
        return configuration

    def balancer_with(self, card, **options):
        """sluiced with that, not started; it has folders of its own."""
        number = len(list(self.lab.folder.glob("balancer-sluiced*.log")))
        return Balancer(self.node, self.configuration_with(card, **options), f"sluiced{number}")
