"""Runs every rule over the files that it is for."""

from linter import files, formatting, functions, includes, names, text


def check_all(root, tracked):
    """Problems as `file:line: what is wrong; what would be right`, in the order of the files."""
    problems = []
    formatted = []
    for name in tracked:
        kind = files.kind(root, name)
        if kind is None:
            continue
        content = (root / name).read_text(encoding="utf-8", errors="replace")
        problems += _check_file(root, name, kind, content)
        if kind == "c":
            formatted.append(name)
    problems += formatting.check(root, formatted)
    return sorted(problems, key=_place)


def _check_file(root, name, kind, content):
    found = text.check(name, kind, content)
    if kind == "c":
        found += includes.check(name, content)
        found += functions.check_c(name, content)
    elif kind == "python":
        found += functions.check_python(name, content) + names.check(name, content)
    elif kind == "shell":
        found += text.check_shell(root, name)
    return [f"{name}:{line}: {words}" for line, words in found]


def _place(problem):
    name, line, _ = problem.split(":", 2)
    return name, int(line)
