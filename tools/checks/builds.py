"""The builds that check uses, each in its own folder, so that nothing is built twice."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@dataclasses.dataclass(frozen=True)
class Build:
    """A build folder and how it is set up."""
    name: str
    folder: str
    options: tuple = ()
    compiler: tuple = ("gcc", "g++")

    @property
    def path(self):
        return ROOT / self.folder


def arguments(*flags):
    """Of both compilers."""
    return tuple(f"-D{language}_args={list(flags)}" for language in ("c", "cpp"))


# Of what debuggers want to know, functions and lines are enough to read a stack; the rest takes a quarter of the time.
LINES = "-g1"
SANITIZED = ("-Doptimization=1", "-Dbench=false")
# Left out: three that take longer to compile than all others together, and find what the address sanitizer finds too.
UNDEFINED = [f"-fno-sanitize={name}" for name in ("null", "object-size", "vptr")]
# Instrumented code makes GCC warn of what it cannot follow any more, as its manual says.
UNFOLLOWED = "-Wno-maybe-uninitialized"
BUILDS = {build.name: build for build in (
    Build("gcc", "build", arguments(LINES)),
    Build("asan", "build-asan", ("-Db_sanitize=address,undefined", *SANITIZED,
                                 *arguments(LINES, UNFOLLOWED, *UNDEFINED))),
    Build("tsan", "build-tsan", ("-Db_sanitize=thread", *SANITIZED, *arguments(LINES, UNFOLLOWED))),
    # That it builds, and the fuzz targets: quick to build matters, quick to run does not.
    Build("clang", "build-clang", ("-Dfuzz=true", "-Doptimization=1", "-Ddebug=false"), ("clang", "clang++")),
)}


def run(command, log, environment=None, timeout=None):
    """Runs a command with its output in `log` (a path); (exit code, last lines of the output)."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as file:
        try:
            code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                  env={**os.environ, **(environment or {})}, timeout=timeout).returncode
        except subprocess.TimeoutExpired:
            file.write(f"\nstopped after {timeout} s\n")
            code = 124
    return code, "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-60:])


def setup(build, tree=ROOT):
    """Makes the build folder, of that tree, unless it is there; (exit code, last lines of the output)."""
    folder = tree / build.folder
    if (folder / "build.ninja").exists():
        return 0, ""
    ccache = ["ccache"] if shutil.which("ccache") else []
    environment = {variable: " ".join([*ccache, compiler])
                   for variable, compiler in zip(("CC", "CXX"), build.compiler)}
    # A third of the time of the usual one, and there is a program for each unit test.
    environment |= {"CC_LD": "lld", "CXX_LD": "lld"}
    return run(["meson", "setup", folder, tree, *build.options], folder / "check" / "setup.log", environment)


def compile_targets(build, targets=(), tree=ROOT):
    """(exit code, last lines of the output) of building these, or everything in the folder."""
    folder = tree / build.folder
    # A build of the same sources in another folder finds in the cache what this one has compiled.
    return run(["ninja", "-C", folder, *targets], folder / "check" / "build.log", {"CCACHE_NOHASHDIR": "true"})
