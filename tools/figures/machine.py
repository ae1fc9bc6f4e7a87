"""The machine, in the words that a stranger needs to compare figures with his own."""

import json
import os
import pathlib
import platform
import re
import shutil
import subprocess

from figures.rows import BUILD, ROOT


def _said(*command):
    """What a command says; empty where there is none such."""
    if shutil.which(command[0]) is None:
        return ""
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _cpu():
    fields = json.loads(_said("lscpu", "-J") or '{"lscpu": []}')["lscpu"]
    found = {one["field"].rstrip(":"): one["data"] for one in _flat(fields)}
    hypervisor = found.get("Hypervisor vendor")
    return {
        "cpu": f"{found.get('Model name', platform.machine())}, family {found.get('CPU family', '?')}, "
               f"model {found.get('Model', '?')}",
        "cpus": f"{len(os.sched_getaffinity(0))}, {found.get('Thread(s) per core', '?')} a core",
        "virtualisation": f"a guest of {hypervisor}" if hypervisor else "none that it knows of",
    }


def _flat(fields):
    for one in fields:
        yield one
        yield from _flat(one.get("children", []))


def _caches():
    caches = json.loads(_said("lscpu", "-C", "-J") or '{"caches": []}')["caches"]
    return ", ".join(f"{one['name']} {one['one-size']}" for one in caches)


def _huge_pages():
    memory = _read("/proc/meminfo")
    reserved = re.search(r"HugePages_Total:\s+(\d+)", memory)
    size = re.search(r"Hugepagesize:\s+(\d+) kB", memory)
    chosen = re.search(r"\[(\w+)\]", _read("/sys/kernel/mm/transparent_hugepage/enabled"))
    number = f"{reserved[1]} of {int(size[1]) // 1024} MiB reserved" if reserved and size else "none"
    return f"{number}, transparent ones: {chosen[1] if chosen else 'none'}"


def _compiler():
    """What made a benchmark, as it says itself."""
    for program in sorted((BUILD / "bench").glob("*_bench")):
        said = _said("readelf", "-p", ".comment", str(program))
        found = re.search(r"GCC: \(.*\) (\S+)|clang version \S+", said)
        if found:
            return found[0]
    return "unknown"


def describe():
    """{what: words}"""
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return _cpu() | {
        "caches of a core": _caches(),
        "memory": f"{int(memory[1]) // 1024} MiB" if memory else "unknown",
        "huge pages": _huge_pages(),
        "governor": governor or "not this machine's to choose",
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": _compiler(),
        "commit": _said("git", "-c", "safe.directory=*", "describe", "--always", "--dirty") or "unknown",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }
