"""QEMU's monitor, from inside: what happens to the emulated devices.

The protocol is QMP, a line of JSON each way, over the virtio port `control`.
"""

import json
import pathlib


def _port():
    for path in pathlib.Path("/sys/class/virtio-ports").glob("*/name"):
        if path.read_text().strip() == "control":
            return f"/dev/{path.parent.name}"
    raise FileNotFoundError("no virtio port `control`")


class Monitor:
    """One at a time has the port."""

    def __init__(self):
        self._port = open(_port(), "r+b", buffering=0)
        self._rest = b""
        self._line()  # the greeting
        self.command("qmp_capabilities")

    def close(self):
        self._port.close()

    def command(self, execute, **arguments):
        """What QEMU returns; events in front of it are passed over."""
        self._port.write(json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n")
        while "return" not in (line := self._line()):
            assert "error" not in line, line
        return line["return"]

    def _line(self):
        while b"\n" not in self._rest:
            self._rest += self._port.read(4096)
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)
