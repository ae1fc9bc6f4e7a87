"""docs/operations.md, followed: its commands are run as they stand there."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def guide(begins):
    """The block of commands in docs/operations.md that begins so, a line each, without remarks."""
    blocks = re.findall(r"^```\n(.*?)^```$", OPERATIONS, re.M | re.S)
    block = next(block for block in blocks if block.startswith(begins))
    return [line.partition("  #")[0].strip() for line in block.splitlines()]


def follow(lines):
    """Runs commands of the guide."""
    for line in lines:
        subprocess.run(["/bin/bash", "-euc", line], check=True, timeout=120)


def follow_on(node, lines):
    """The same on a node of a lab."""
    for line in lines:
        node.run("/bin/bash", "-euc", line)


def bind(*addresses):
    """Has DPDK get these PCI devices, as the guide says."""
    # One command for all: it looks at every device each time.
    follow([guide("dpdk-devbind.py --status-dev net")[2].replace("0000:3b:00.0", " ".join(addresses))])
