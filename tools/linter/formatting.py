"""clang-format, as .clang-format at the root says."""

import re
import subprocess

_PLACE = re.compile(r"^(.+?):(\d+):\d+: error: ")


def check(root, names):
    """Problems of the C and C++ files that clang-format would lay out in another way; one for each file."""
    if not names:
        return []
    ran = subprocess.run(["clang-format", "--dry-run", "-Werror", *names], cwd=root, capture_output=True, text=True)
    first = {}
    for line in ran.stderr.splitlines():
        match = _PLACE.match(line)
        if match:
            first.setdefault(match.group(1), match.group(2))
    if ran.returncode != 0 and not first:
        return [f"{names[0]}:1: clang-format failed: {ran.stderr.strip()[:200]}; see .clang-format"]
    return [f"{name}:{line}: not in the house's layout; run clang-format -i {name}" for name, line in first.items()]
