"""How long a function is. It fits on a screen: MAX_LINES, signature and braces included.

C and C++ are read by their braces, after comments, literals and preprocessor lines are gone: enough for code that
clang-format lays out. Tables (`= {...}`) are not functions and may be as long as they need.
"""

import ast
import re

MAX_LINES = 60

_NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_NAMESPACE = re.compile(r'\b(namespace|extern)\b')
_TYPE = re.compile(r"\b(class|struct|union|enum)\b[^()]*$")
_NAME = re.compile(r"([A-Za-z_~][\w:~]*|operator\S+)\s*\(")


def check_c(name, content):
    """[(line, words)] for every function of a C or C++ file that is too long."""
    del name
    return [(first, _words(title, last - first + 1)) for title, first, last in c_functions(content)
            if last - first + 1 > MAX_LINES]


def check_python(name, content):
    """[(line, words)] for every function that is too long, or the line where the file is not Python."""
    try:
        tree = ast.parse(content, filename=name)
    except SyntaxError as error:
        return [(error.lineno or 1, f"not Python: {error.msg}; /usr/bin/python3 must be able to read it")]
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            if length > MAX_LINES:
                problems.append((node.lineno, _words(node.name, length)))
    return problems


def _words(title, length):
    return f"function {title} has {length} lines; at most {MAX_LINES}, it should fit on a screen"


def _blank(match):
    """As many lines as before, and nothing on them that has a meaning."""
    kept = re.sub(r"[^\n]", " ", match.group(0))
    return kept if match.group(0).startswith("/") else '""' + kept[2:] if len(kept) >= 2 else kept


def c_functions(content):
    """[(name, first line, last line)] of the functions that are not inside another one."""
    content = _DIRECTIVE.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), _NOISE.sub(_blank, content))
    functions = []
    stack = []  # (kind, name, first line) of every open brace
    head_start = 0
    line = 1
    parentheses = 0
    for position, character in enumerate(content):
        if character == "\n":
            line += 1
        elif character in "()":
            parentheses += 1 if character == "(" else -1
        elif character == "{":
            stack.append(_opened(content[head_start:position], stack, parentheses, line))
            if stack[-1][0] != "other":
                head_start, parentheses = position + 1, 0
        elif character == "}" and stack:
            kind, title, first = stack.pop()
            if kind == "function":
                functions.append((title, first, line))
            if kind != "other":
                head_start, parentheses = position + 1, 0
        elif character == ";" and parentheses <= 0:
            head_start, parentheses = position + 1, 0
    return functions


def _opened(head, stack, parentheses, line):
    """What the brace after `head` opens."""
    stripped = head.strip()
    first = line - stripped.count("\n")
    inside = stack and stack[-1][0] in ("function", "other")
    if inside or parentheses > 0 or stripped.endswith("="):
        return "other", "", first
    if _TYPE.search(stripped):
        return "type", "", first
    name = _NAME.search(stripped)
    before = stripped[:name.start()] if name else stripped
    if name is None:
        return ("namespace" if _NAMESPACE.search(stripped) else "other"), "", first
    return ("other" if "=" in before else "function"), name.group(1), first
