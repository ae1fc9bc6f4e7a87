"""Rules on the lines of a file: its length, its first words, what must not stand in it."""

import re
import subprocess

MAX_LINES = 500
MAX_COLUMNS = 120

# In two pieces, so that this file keeps its own rule.
_UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def check(name, kind, content):
    """[(line, words)] for the rules that hold for every text file."""
    problems = []
    lines = content.split("\n")
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            problems.append((number, "trailing white space; remove it"))
        match = _UNFINISHED.search(line)
        if match:
            problems.append((number, f"{match.group(0)} in the tree; do it now, or open an issue and leave it out"))
        if kind in ("python", "shell") and len(line) > MAX_COLUMNS:
            problems.append((number, f"{len(line)} columns; at most {MAX_COLUMNS}"))
    if content and not content.endswith("\n"):
        problems.append((len(lines), "no newline at the end of the file; add it"))
    if kind in ("c", "python", "shell") and len(lines) - 1 > MAX_LINES:
        words = f"the file has {len(lines) - 1} lines; at most {MAX_LINES}: one subject a file"
        problems.append((MAX_LINES + 1, words))
    if name.endswith(".h") and name.startswith(("include/", "src/")):
        problems += _check_contract(content)
    return problems


def _check_contract(content):
    if content.lstrip().startswith(("//", "/*")):
        return []
    return [(1, "a header is a contract; begin with a comment: what it is, thread-safety, units, errors, source")]


def check_shell(root, name):
    """[(line, words)] when bash cannot read the file."""
    ran = subprocess.run(["bash", "-n", name], cwd=root, capture_output=True, text=True)
    if ran.returncode == 0:
        return []
    match = re.search(r"line (\d+): (.*)", ran.stderr)
    line, words = (int(match.group(1)), match.group(2)) if match else (1, ran.stderr.strip())
    return [(line, f"bash cannot read it: {words}; `bash -n {name}` shows it")]
