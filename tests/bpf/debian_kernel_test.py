#!/usr/bin/python3
"""Debian 12's own kernel, 6.1: what its verifier thinks of the programs, and that they do there what they do natively.

    this machine
    '---- an emulated PC (QEMU): Debian's kernel, and of ours the test programs given, with the libraries that they need

usage: debian_kernel_test.py TEST FILTER [TEST FILTER]...

What is given are programs of GoogleTest. The kernel is downloaded with apt, as a package that is not installed.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tools"))

from lab.emulated_pc import Kernel, pack, plain, run  # noqa: E402

# Nobody waits so long: software emulates the PC, and its verifier takes ten seconds for a program.
DEADLINE = 500
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t bpf bpf /sys/fs/bpf
echo "kernel $(/bin/busybox uname -r)"
{tests}
/bin/busybox poweroff -f
"""


def copy(path, root):
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(pathlib.Path(path).read_bytes())
    target.chmod(0o755)


def make_system(root, tests):
    """A root of nothing but the tests, and a first process that runs them."""
    for name in ("proc", "sys", "tmp", "dev"):
        (root / name).mkdir(parents=True)
    copy("/bin/busybox", root)
    lines = []
    for number, (program, chosen) in enumerate(tests):
        for library in set(re.findall(r"(/\S+)", run("ldd", program))):
            copy(library, root)
        copy(pathlib.Path(program).absolute(), root)
        lines.append(f"{pathlib.Path(program).absolute()} '--gtest_filter={chosen}'; echo \"ended {number} $?\"")
    (root / "init").write_text(INIT.format(tests="\n".join(lines)))
    (root / "init").chmod(0o755)


def main(tests):
    with tempfile.TemporaryDirectory(prefix="sluice-kernel-") as name:
        folder = pathlib.Path(name)
        make_system(folder / "root", tests)
        pack(folder / "root", folder / "initrd")
        machine = subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "2048", "-nographic", "-no-reboot",
             "-net", "none", "-kernel", Kernel(folder).image, "-initrd", folder / "initrd",
             "-append", "console=ttyS0 quiet panic=-1"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=DEADLINE, check=True)
    console = plain(machine.stdout)
    print(console)
    ended = dict(re.findall(r"^ended (\d+) (\d+)$", console, re.MULTILINE))
    kernel = re.search(r"^.*kernel (6\.1\.\S+)$", console, re.MULTILINE)
    passed = console.count("[  PASSED  ]")
    whole = ended == {str(number): "0" for number in range(len(tests))} and passed == len(tests)
    return 0 if kernel and whole and "SKIPPED" not in console else 1


if __name__ == "__main__":
    sys.exit(main(list(zip(sys.argv[1::2], sys.argv[2::2]))))
