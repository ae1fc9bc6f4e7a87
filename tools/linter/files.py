"""Which files there are, and what each one is."""

import os
import pathlib
import subprocess

SKIPPED_FOLDERS = {".git", ".cache", "__pycache__", ".pytest_cache"}


def tracked(root):
    """Names of all files of the tree: git's, new ones included; without git, all but build folders."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"],
        cwd=root, capture_output=True, text=True)
    if listed.returncode == 0:
        return [name for name in sorted(listed.stdout.splitlines()) if (root / name).is_file()]
    names = []
    for folder, folders, file_names in os.walk(root):
        relative = pathlib.Path(folder).relative_to(root)
        folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS and not f.startswith("build")]
        names += [str(relative / name) for name in file_names]
    return sorted(names)


def kind(root, name):
    """'c' (C, C++ and BPF), 'python', 'shell', 'build', 'text', or None for what lint leaves alone."""
    suffix = pathlib.PurePath(name).suffix
    if suffix in (".cc", ".h", ".c"):
        return "c"
    if suffix == ".py":
        return "python"
    if suffix == ".sh":
        return "shell"
    if suffix in (".proto", ".yaml", ".yml", ".md", ".build", ".txt"):
        return "text"
    if suffix == "":
        return _kind_of_script(root / name)
    return None


def _kind_of_script(path):
    with open(path, "rb") as file:
        first = file.readline(80)
    if not first.startswith(b"#!"):
        return "text" if path.name == "packages" else None
    return "python" if b"python" in first else "shell"
