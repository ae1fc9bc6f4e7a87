"""clang-tidy over the sources of src/, as .clang-tidy says."""

import concurrent.futures
import json
import pathlib
import re
import subprocess

# What gcc's commands have and clang does not know.
EXTRA = ["--quiet", "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-error"]
_PROBLEM = re.compile(r"^\S+:\d+:\d+: (?:warning|error): ")


def run(root, names, jobs):
    """Prints what clang-tidy finds; 0 when that is nothing."""
    database = root / "build" / "compile_commands.json"
    if not database.exists():
        print("lint: no build/compile_commands.json; run: meson setup build && ninja -C build")
        return 1
    known = {str(pathlib.Path(entry["directory"], entry["file"]).resolve())
             for entry in json.loads(database.read_text())}
    sources = [name for name in names
               if name.startswith("src/") and name.endswith(".cc") and str((root / name).resolve()) in known]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        failed = sum(pool.map(lambda name: _tidy_one(root, name), sources))
    print(f"lint: clang-tidy on {len(sources)} files, {failed} with problems")
    return 1 if failed else 0


def _tidy_one(root, name):
    ran = subprocess.run(["clang-tidy", "-p", "build", *EXTRA, name], cwd=root, capture_output=True, text=True)
    if ran.returncode == 0:
        return 0
    output = ran.stdout.replace(f"{root}/", "")
    print(output if _PROBLEM.search(output) else f"{name}: {output}{ran.stderr}", flush=True)
    return 1
