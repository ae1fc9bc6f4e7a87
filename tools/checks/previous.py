"""The build before this one, for tests of an upgrade: the daemon alone, of the sources as the history has them."""

import io
import shutil
import subprocess
import tarfile

from checks.builds import ROOT

FOLDER = ROOT / "build" / "previous"
# As tools/lab/balancer.py has it.
TREE = FOLDER / "tree"
# What a daemon is made of.
SOURCES = ("src", "include", "bpf", "meson.build", "meson_options.txt")


def _git(*words):
    """Its output; empty when it fails, as it does without a history."""
    ran = subprocess.run(["git", "-c", "safe.directory=*", *words], cwd=ROOT, capture_output=True)
    return ran.stdout if ran.returncode == 0 else b""


def find():
    """(commit, what it is) of the last release before HEAD, or of the last commit with another daemon; or None."""
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD^").decode().strip()
    if tag:
        return _git("rev-parse", tag + "^{commit}").decode().strip(), f"release {tag}"
    commits = _git("log", "--first-parent", "-2", "--format=%H", "HEAD", "--", *SOURCES).decode().split()
    # In a shallow clone the oldest commit seems to have made everything.
    return (commits[1], f"commit {commits[1][:10]}") if len(commits) == 2 else None


def have(commit):
    """Puts its sources where the build is, unless they are there. Its own build folder is below them, as ours is."""
    stamp = FOLDER / "commit"
    if stamp.exists() and stamp.read_text() == commit:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    TREE.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(TREE)
    stamp.write_text(commit)
