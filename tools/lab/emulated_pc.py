"""An emulated PC (QEMU) that boots Debian's own kernel.

Software emulates it: ten to thirty times slower than the machine itself, and it needs nothing of that machine's kernel.
The kernel is downloaded with apt, as a package that is not installed.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import threading

from lab.process import Process, wait_until

KERNEL_PACKAGE = "linux-image-cloud-amd64"
# Of package qemu-system-common.
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
MEMORY = 3072
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# What the kernel needs to reach its root, and QEMU's monitor.
_FIRST_MODULES = ("virtio_pci", "virtiofs", "overlay", "virtio_console")
# This machine's files are the root, for reading; what is written stays in memory.
_INIT = """#!/bin/busybox sh
ulimit -n 65536
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
alias mount='/bin/busybox mount'
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /first/*; do /bin/busybox insmod $module; done
mount -t virtiofs -o ro host /host
mount -t tmpfs written /written
/bin/busybox mkdir /written/upper /written/work /written/tree
mount -t overlay -o lowerdir=/host,upperdir=/written/upper,workdir=/written/work root /new
for folder in proc sys dev; do mount --move /$folder /new/$folder; done
mount -t tmpfs run /new/run
mount -t bpf bpf /new/sys/fs/bpf
# The tree may be a clone in /tmp.
mount --bind /new{tree} /written/tree
mount -t tmpfs tmp /new/tmp
/bin/busybox mkdir -p /new{tree}
mount --bind /written/tree /new{tree}
/bin/busybox mkdir -p /new/lib/modules /new/run/results /new/run/modules
mount -t virtiofs results /new/run/results
mount -t virtiofs -o ro modules /new/run/modules
mount --bind /new/run/modules /new/lib/modules
/bin/busybox chroot /new /bin/bash -c '{command}'
echo "ended $?"
/bin/busybox poweroff -f
"""


def _run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class _Kernel:
    """Debian's kernel and its modules, unpacked below a folder of their own."""

    def __init__(self, folder):
        package = re.search(r"Depends: (linux-image-\S+)", _run("apt-cache", "depends", KERNEL_PACKAGE))[1]
        _run("apt-get", "download", package, cwd=folder)
        self.root = folder / "kernel"
        _run("dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(self.root))
        self.image = next((self.root / "boot").glob("vmlinuz-*"))
        self.release = self.image.name.partition("-")[2]
        self.modules = self.root / "lib" / "modules"

    def needed_modules(self, names):
        """Paths of these modules and of what they need, in the order that they are loaded in."""
        _run("depmod", "-b", str(self.root), self.release)
        paths = []
        for name in names:
            lines = _run("modprobe", "-d", str(self.root), "-S", self.release, "--show-depends", name).splitlines()
            # "builtin NAME" has no file.
            paths += [line.split()[1] for line in lines if line.startswith("insmod")]
        return list(dict.fromkeys(paths))


def _pack(root, archive):
    """The folder `root` as an initial file system."""
    names = "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))
    archive.write_bytes(subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names.encode(),
                                       stdout=subprocess.PIPE, check=True).stdout)


def _plain(console):
    """Without what only a terminal understands, and no report of tests can hold."""
    text = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|c)", "", console)
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


class EmulatedPc:
    """One that has this machine's files as its root. `folder` is an empty one for all that is made; `options` are
    QEMU's for its devices. What the PC writes to /run/results is in `folder`/results afterwards; QEMU's monitor (QMP)
    is the virtio port `control`."""

    def __init__(self, folder, options):
        self.folder = folder
        self.results = folder / "results"
        self.results.mkdir()
        self.options = options
        self._shares = []

    def run(self, command, deadline):
        """Boots, runs a command of bash without apostrophes, shows what it writes; its exit code, or None when it did
        not come to its end within so many seconds."""
        kernel = _Kernel(self.folder)
        self._make_first_files(kernel, command)
        shares = {"host": pathlib.Path("/"), "results": self.results, "modules": kernel.modules}
        try:
            devices = [word for tag, path in shares.items() for word in self._share(tag, path)]
            return self._emulate(kernel, devices, deadline)
        finally:
            for share in self._shares:
                share.kill()

    def _make_first_files(self, kernel, command):
        root = self.folder / "first"
        for name in ("proc", "sys", "dev", "host", "written", "new", "bin", "first"):
            (root / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin")
        for number, path in enumerate(kernel.needed_modules(_FIRST_MODULES), 10):
            shutil.copy(path, root / "first" / f"{number}.ko")
        (root / "init").write_text(_INIT.replace("{tree}", str(ROOT)).replace("{command}", command))
        (root / "init").chmod(0o755)
        _pack(root, self.folder / "initrd")

    def _share(self, tag, path):
        """QEMU's options for a folder of this machine under that tag."""
        socket = self.folder / f"{tag}.sock"
        # Not in namespaces of its own: the root has file systems mounted in it.
        self._shares.append(Process([VIRTIOFSD, f"--socket-path={socket}", "-o", f"source={path}", "-o", "cache=auto",
                                     "-o", "sandbox=chroot"], self.folder / f"{tag}.log"))
        wait_until(socket.exists, f"virtiofsd to offer {path}")
        return ["-chardev", f"socket,id={tag},path={socket}", "-device", f"vhost-user-fs-pci,chardev={tag},tag={tag}"]

    def _emulate(self, kernel, devices, deadline):
        control = self.folder / "control.sock"
        machine = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "q35,kernel-irqchip=split", "-accel", "tcg,thread=multi", "-cpu", "max",
             "-smp", "2", "-m", str(MEMORY), "-object", f"memory-backend-memfd,id=memory,size={MEMORY}M,share=on",
             "-numa", "node,memdev=memory", "-nographic", "-no-reboot", "-nic", "none",
             "-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on", *devices,
             "-chardev", f"socket,id=monitor,path={control},server=on,wait=off", "-mon", "chardev=monitor,mode=control",
             "-chardev", f"socket,id=control,path={control}", "-device", "virtio-serial",
             "-device", "virtserialport,chardev=control,name=control", *self.options,
             "-kernel", kernel.image, "-initrd", self.folder / "initrd",
             "-append", "console=ttyS0 quiet panic=-1 intel_iommu=on mitigations=off"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        stop = threading.Timer(deadline, machine.kill)
        stop.start()
        ended = None
        try:
            for line in machine.stdout:
                line = _plain(line)
                found = re.search(r"^ended (\d+)$", line.strip())
                if found:
                    ended = int(found[1])
                sys.stdout.write(line)
                sys.stdout.flush()
        finally:
            stop.cancel()
            machine.kill()
            machine.wait()
        return ended
