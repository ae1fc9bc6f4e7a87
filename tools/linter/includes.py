"""Who may include whom. A room is a folder of the tree; what it may include stands in MAY_INCLUDE.

Headers of the project are written from src/ ("base/address.h"), those of the path as "sluice/parse.h".
"""

import re

# Room -> rooms that it may include besides its own. `path` is include/sluice, `engine` the files right in src/engine/.
MAY_INCLUDE = {
    "path": set(),
    "bpf": {"path"},
    "base": set(),
    "config": {"base"},
    "health": {"base"},
    "neighbor": {"base"},
    "tables": {"path", "config", "base"},
    "engine": {"path", "tables", "config", "base"},
    # AF_XDP ports share the program of the kernel's engine.
    "engine/dpdk": {"path", "tables", "config", "base", "engine", "engine/xdp"},
    "engine/xdp": {"path", "tables", "config", "base", "engine"},
    "engine/sim": {"path", "tables", "config", "base", "engine"},
    "control": {"path", "config", "tables", "health", "neighbor", "engine", "base"},
    "api": {"control", "config", "base"},
    "admin": {"control", "config", "base"},
}
# These see everything.
FREE_ROOMS = {"sluiced", "tests", "bench", "tools"}

# Foreign headers: pattern -> (what may include them, as a pattern on the file's name, in words).
FOREIGN = [
    (re.compile(r"rte_\w+\.h$"), re.compile(r"(src/engine/dpdk|tests|bench)/"), "src/engine/dpdk"),
    (re.compile(r"(bpf|xdp)/\w+\.h$"),
     re.compile(r"(bpf|src/engine/xdp|src/engine/dpdk/afxdp\w*|tests|tools|bench)(/|\.)"),
     "src/engine/xdp and src/engine/dpdk/afxdp*"),
    (re.compile(r"netlink/.+\.h$"), re.compile(r"(src/neighbor|src/engine/dpdk/tap_interface|tests)(/|\.)"),
     "src/neighbor and src/engine/dpdk/tap_interface.cc"),
    (re.compile(r"yaml-cpp/.+\.h$"), re.compile(r"(src/config|tests)/"), "src/config"),
]
FLAGS = re.compile(r"gflags/gflags\w*\.h$")
MAIN = re.compile(r"^int main\(", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(name):
    """The room that a file of the tree is in, or None."""
    if name.startswith("include/sluice/"):
        return "path"
    parts = name.split("/")
    if parts[0] == "src" and len(parts) > 2:
        return _room_under_src(parts[1:])
    return parts[0] if parts[0] in FREE_ROOMS | {"bpf"} and len(parts) > 1 else None


def _room_under_src(parts):
    if parts[0] == "engine":
        return f"engine/{parts[1]}" if len(parts) > 2 else "engine"
    return parts[0]


def room_of_include(target):
    """The room of an included header, or None for a header of this room's own folder or of the system."""
    if target.startswith("sluice/"):
        return "path"
    room = _room_under_src(target.split("/")) if "/" in target else None
    return room if room in MAY_INCLUDE or room == "sluiced" else None


def check(name, content):
    """[(line, words)] for every include that the table forbids."""
    problems = []
    room = room_of(name)
    for number, line in enumerate(content.splitlines(), 1):
        match = INCLUDE.match(line)
        if match is None:
            continue
        quoted, target = match.group(1) == '"', match.group(2)
        problems += [(number, words) for words in _foreign(name, target, content)]
        if quoted and room is not None:
            problems += [(number, words) for words in _ours(room, target)]
    return problems


def _foreign(name, target, content):
    for header, allowed, place in FOREIGN:
        if header.match(target) and not target.startswith("sluice/") and not allowed.match(name):
            yield f"{target} is not for this room; only {place} may include it"
    if FLAGS.match(target) and MAIN.search(content) is None:
        yield f"{target} outside of a main; take options as parameters, flags belong to the file with main()"


def _ours(room, target):
    other = room_of_include(target)
    if target.startswith("../") or "/../" in target:
        yield f'"{target}" climbs out of its folder; write the path from src/'
    if other is None or other == room or room in FREE_ROOMS:
        return
    allowed = MAY_INCLUDE.get(room)
    if allowed is None:
        yield f"room {room} is not in the table; add it to MAY_INCLUDE in tools/linter/includes.py"
    elif other not in allowed:
        names = ", ".join(sorted(allowed)) or "nothing"
        yield f'{room} may not include {other} ("{target}"); it may include {names}'
