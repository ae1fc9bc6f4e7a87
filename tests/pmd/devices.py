"""The emulated devices: of each kind one that DPDK gets, on a cable with one that the guest's kernel keeps."""

import dataclasses
import socket


@dataclasses.dataclass(frozen=True)
class Card:
    """A network card that sluiced owns, and the other end of its cable."""
    kind: str
    options: str  # QEMU's
    number: int

    @property
    def pci(self):
        return f"0000:00:1{self.number}.0"

    @property
    def mac(self):
        return f"52:54:00:00:01:0{self.number}"

    @property
    def peer_mac(self):
        return f"52:54:00:00:02:0{self.number}"

    @property
    def cable(self):
        """The guest's interface at its other end."""
        return f"cable{self.number}"

    @property
    def name(self):
        """QEMU's."""
        return f"card{self.number}"

    def qemu(self):
        """QEMU's options for both. The cable is UDP over loopback: while sluiced does not run, frames are lost, where
        QEMU's own hub would hold them back and stop the sender."""
        near, far = _free_ports(2)
        return ["-netdev", f"socket,id=near{self.number},localaddr=127.0.0.1:{near},udp=127.0.0.1:{far}",
                "-netdev", f"socket,id=far{self.number},localaddr=127.0.0.1:{far},udp=127.0.0.1:{near}",
                "-device", f"{self.options},id={self.name},netdev=near{self.number},mac={self.mac},addr=1{self.number},"
                           "romfile=",
                "-device", f"virtio-net-pci,netdev=far{self.number},mac={self.peer_mac},romfile="]


def _free_ports(count):
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


# Behind an IOMMU virtio has to be told that there is one.
CARDS = {card.kind: card for card in (
    Card("virtio", "virtio-net-pci,iommu_platform=on,disable-legacy=on", 0),
    Card("e1000", "e1000", 1),
    Card("vmxnet3", "vmxnet3", 2),
)}
