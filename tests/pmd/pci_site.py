"""Sites whose balancer has PCI devices and nothing else."""

from guide import follow_on, guide
from lab.balancer import Balancer
from lab.network import run
from lab.site import Site


class PciSite(Site):
    """Its LAN is on the far ends of the cards' cables; servers take tunnels off with the kernel's own devices."""

    def __init__(self, lab, cards, forwarding="dsr_l2"):
        super().__init__(lab, forwarding)
        self.node.ip("link delete eth0")
        for card in cards.values():
            run(["ip", "link", "set", "dev", card.cable, "netns", self.lan.namespace])
            self.lan.plugged(card.cable)
        self.client = self.add_client()
        self.add_backends(2)

    def take_tunnels_off(self, node):
        follow_on(node, [line for line in guide("modprobe ipip") if "fou" not in line])

    def balancer_with(self, card, family=4, others=()):
        """sluiced for listeners of that family on these cards, not started; it has folders of its own."""
        configuration = self.configuration(family)
        configuration["engine"]["interfaces"] = [
            {"pci": card.pci, "addresses": [f"{self.address(4)}/24", f"{self.address(6)}/64"]},
            *({"pci": other.pci, "addresses": ["198.51.100.2/24"]} for other in others)]
        number = len(list(self.lab.folder.glob("balancer-sluiced*.log")))
        return Balancer(self.node, configuration, f"sluiced{number}")
