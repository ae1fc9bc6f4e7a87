"""Each suite of check: what it builds, what it runs, what it adds to the results."""

import contextlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

from checks import builds, instructions, previous
from checks.builds import BUILDS, ROOT

# Suites of meson, in the order of their cost.
MESON = ("unit", "packet", "sim", "bpf")
# What the end-to-end tests run.
DAEMON = ("sluiced", "sluicectl", "tools/decap/decap")
GOLDEN_XDP = "tests/packet/golden_xdp_test"
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
# Of a benchmark whose rows take minutes: those that are run to see that it runs.
BENCH_ROWS = {"xdp_bench": "flows:1000/room:1000000|new/(ipip|full_nat)/ipv4/tcp/fresh|not_ours"}
# Packets that wait for a CPU while end-to-end tests run: twenty times what kernels begin with.
BACKLOG = 20_000
PYTEST = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q"]


def say(words):
    print(words, flush=True)


def _ready(results, name, step, tree=ROOT):
    """Runs one step of a build; whether it went well."""
    code, output = step(BUILDS[name], tree=tree)
    if code != 0:
        say(output)
        results.add(f"build {name}", False, f"see {(tree / BUILDS[name].folder).relative_to(ROOT)}/check/")
    return code == 0


def build(results, name, targets=(), tree=ROOT):
    """Builds these targets, or everything, in the folder of that name."""
    begin = time.monotonic()
    say(f"== build {name}" + (f" in {tree.relative_to(ROOT)}" if tree != ROOT else ""))

    def compile_them(chosen, tree):
        return builds.compile_targets(chosen, targets, tree)

    if _ready(results, name, builds.setup, tree) and _ready(results, name, compile_them, tree):
        results.add(f"build {name}", True)
        say(f"   {time.monotonic() - begin:.0f} s")
        return True
    return False


def meson(results, name, suites, timeout_multiplier=1):
    """Runs suites of meson in the folder of that name; builds only what they need."""
    begin = time.monotonic()
    say(f"== {' '.join(suites)} ({name})")
    if not _ready(results, name, builds.setup):
        return
    folder = BUILDS[name].path
    for stale in folder.rglob("*.xml"):
        stale.unlink()
    log = "check-" + "-".join(suites)
    logs = folder / "meson-logs" / log
    logs.with_suffix(".json").unlink(missing_ok=True)
    command = ["meson", "test", "-C", BUILDS[name].folder, "--logbase", log, "-t", str(timeout_multiplier)]
    for suite in suites:
        command += ["--suite", suite]
    # The thread sanitizer cannot live with as many random bits in addresses as newer kernels use.
    command = ["setarch", platform.machine(), "-R", *command]
    code, output = builds.run(command, folder / "check" / f"{log}.log", SANITIZER_ENVIRONMENT)
    if not logs.with_suffix(".json").exists():
        if code == 0:
            say("   no tests")
            return
        say(output)
        results.add(f"{' '.join(suites)} ({name})", False, f"see {BUILDS[name].folder}/check/{log}.log")
        return
    for failure in results.add_meson(name, logs):
        say(failure)
    say(f"   {time.monotonic() - begin:.0f} s")


def lint(results):
    say("== lint")
    ran = subprocess.run([ROOT / "tools/lint"], cwd=ROOT, capture_output=True, text=True)
    say("   " + ran.stdout.strip().replace("\n", "\n   "))
    results.add("tools/lint", ran.returncode == 0, ran.stderr.strip())
    pytest(results, "lint", "tests/lint")


def tidy(results):
    if not build(results, "gcc"):
        return
    say("== clang-tidy")
    ran = subprocess.run([ROOT / "tools/lint", "--tidy"], cwd=ROOT, text=True, stdout=subprocess.PIPE)
    say(ran.stdout.rstrip())
    results.add("tools/lint --tidy", ran.returncode == 0)


def pytest(results, name, folder, *options):
    """Runs the cases of a folder with pytest, their output shown as it comes."""
    _junit(results, name, f"pytest {' '.join([*options, folder])}",
           lambda junit: [*PYTEST, f"--junitxml={junit}", "-o", "junit_family=xunit2", *options, folder])


def emulated(results, name, deadline, marked):
    """Boots an emulated PC for at most so many seconds, where tests of tests/pmd run with pytest."""
    _junit(results, name, "in an emulated PC",
           lambda junit: [sys.executable, "-B", "tests/pmd/machine.py", junit, str(deadline), f'-m "{marked}"'])


def _junit(results, name, words, command):
    """Runs what `command(PATH)` says, which writes its cases there; 0 or 1 tells whether one of them failed."""
    begin = time.monotonic()
    say(f"== {name} ({words})")
    junit = ROOT / "build" / "check" / f"{name}.xml"
    junit.parent.mkdir(parents=True, exist_ok=True)
    junit.unlink(missing_ok=True)
    code = subprocess.run(command(junit), cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    if junit.exists():
        results.add_junit(name, junit)
    if code not in (0, 1) or not junit.exists():
        results.add(name, False, f"ended with {code}")
    say(f"   {time.monotonic() - begin:.0f} s")


def bench(results):
    """A moment of each benchmark, to see that it runs: what it measures here means nothing."""
    if not _ready(results, "gcc", builds.setup):
        return
    targets = json.loads(subprocess.run(["meson", "introspect", "--targets", "build"], cwd=ROOT, check=True,
                                        capture_output=True, text=True).stdout)
    targets = [target for target in targets
               if target["type"] == "executable" and target["defined_in"].startswith(str(ROOT / "bench"))]
    if not build(results, "gcc", [f"bench/{target['name']}" for target in targets]):
        return
    say("== bench (that they run; not what they measure)")
    for target in targets:
        log = BUILDS["gcc"].path / "check" / f"{target['name']}.log"
        rows = f"--benchmark_filter={BENCH_ROWS.get(target['name'], '.')}"
        code, output = builds.run([*target["filename"], "--benchmark_min_time=0.001", rows], log, timeout=300)
        # A row that gives up leaves the exit code as it is.
        broken = "ERROR OCCURRED" in log.read_text(encoding="utf-8", errors="replace")
        if code != 0 or broken:
            say(output)
        results.add(f"bench: {target['name']}", code == 0 and not broken,
                    f"exit code {code}" if code else "a row is an error")
    meson(results, "gcc", ("bench",))
    say("== bench (instructions a packet, by callgrind)")
    instructions.check(results)


def record_instructions(results):
    """The exit code."""
    if not build(results, "gcc", ["bench/path_bench"]):
        return results.report()
    instructions.record()
    return 0


def upgrade(results):
    """From the build before this one, which is made for that, and back."""
    found = previous.find()
    if found is None:
        why = "git has no build before this one here: no history, or a shallow clone (git fetch --unshallow)"
        say(f"== upgrade: SKIPPED, {why}")
        results.skip("upgrade", why)
        return
    commit, words = found
    say(f"== upgrade from {words}")
    previous.have(commit)
    # The same options for both: what is the same in both is compiled once where there is a compiler cache.
    if build(results, "gcc", DAEMON) and build(results, "gcc", ("sluiced",), previous.TREE):
        have_servers(results)
        pytest(results, "upgrade", "tests/e2e", "-m", "upgrade")


def have_bpffs(results):
    """The kernel's file system of BPF objects must be mounted; mounts it and says so."""
    del results
    with open("/proc/mounts", encoding="utf-8") as mounts:
        if any(line.split()[2] == "bpf" for line in mounts):
            return
    subprocess.run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"], check=True)
    say("check: mounted the BPF file system at /sys/fs/bpf")


def run(results, names):
    """Runs the named suites, cheapest first."""
    if "lint" in names:
        lint(results)
    # To compile the unit tests takes longer than anything else: a whole run does that once, with the sanitizers.
    own = [name for name in MESON if name in names and not (name == "unit" and "all" in names)]
    if own:
        meson(results, "gcc", own)
    if "asan" in names:
        meson(results, "asan", ("unit", "packet", "sim"), timeout_multiplier=6)
    if "tsan" in names:
        meson(results, "tsan", ("concurrent",), timeout_multiplier=10)
    if "clang" in names:
        build(results, "clang", DAEMON)
    if "fuzz" in names:
        meson(results, "clang", ("fuzz",), timeout_multiplier=4)
    if "bench" in names:
        bench(results)
    if "tidy" in names:
        tidy(results)
    if "upgrade" in names:
        upgrade(results)
    # They take half of their deadlines.
    if "pmd" in names and build(results, "gcc", (*DAEMON, GOLDEN_XDP)):
        emulated(results, "pmd", 900, "not every_case")
    if "debian" in names and build(results, "gcc", (GOLDEN_XDP,)):
        emulated(results, "debian", 2400, "every_case")
    if "e2e" in names and build(results, "gcc", DAEMON):
        have_servers(results)
        with room_in_backlog():
            # They wait more than they compute.
            pytest(results, "e2e", "tests/e2e", "-m", "not alone and not upgrade",
                   f"-n{len(os.sched_getaffinity(0)) + 1}")
            pytest(results, "e2e-alone", "tests/e2e", "-m", "alone")


@contextlib.contextmanager
def room_in_backlog():
    """All namespaces share one queue of each CPU: a flood of one test would push another one's pings out of it."""
    limit = pathlib.Path("/proc/sys/net/core/netdev_max_backlog")
    before = limit.read_text(encoding="ascii")
    limit.write_text(str(max(int(before), BACKLOG)), encoding="ascii")
    try:
        yield
    finally:
        limit.write_text(before, encoding="ascii")


def have_servers(results):
    """Servers and clients of the end-to-end tests that are not there make a failure, never a test left out."""
    for name in ("nginx", "dnsmasq", "iperf3", "dnsperf", "dig", "curl", "wrk", "bpftool", "ethtool"):
        if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            results.add(f"e2e: {name}", False, "not installed; run tools/install")
