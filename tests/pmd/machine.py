#!/usr/bin/python3
"""Boots an emulated PC with the devices of devices.py and runs the tests of this folder in it.

    this machine
    '---- emulated PC, Debian's kernel, an IOMMU ----- card0 virtio ---- cable ---- its other end, the kernel's
                                                '----- card1 e1000 ----- cable ---- its other end
                                                '----- card2 vmxnet3 --- cable ---- its other end

usage: machine.py JUNIT SECONDS [OPTION OF PYTEST]...
"""

import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from devices import CARDS  # noqa: E402
from lab.emulated_pc import EmulatedPc  # noqa: E402



def main(junit, seconds, *options):
    with tempfile.TemporaryDirectory(prefix="sluice-pmd-") as folder:
        pc = EmulatedPc(pathlib.Path(folder), [word for card in CARDS.values() for word in card.qemu()])
        ended = pc.run(f"cd {ROOT} && /usr/bin/python3 -B -m pytest -p no:cacheprovider -v -o junit_family=xunit2 "
                       f"--junitxml=/run/results/pmd.xml {' '.join(options)} tests/pmd", int(seconds))
        if (pc.results / "pmd.xml").exists():
            shutil.copy(pc.results / "pmd.xml", junit)
    if ended is None:
        print(f"pmd: the emulated PC did not come to its end within {seconds} s", file=sys.stderr)
    return 1 if ended is None else ended


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
