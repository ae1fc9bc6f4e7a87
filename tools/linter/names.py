"""Names of Python code, by pyflakes: one that nobody has defined fails only when its line is run."""

import ast

from pyflakes import checker, messages

# What it says of the rest knows nothing of pytest's fixtures, which come by import and as arguments.
_TAKEN = (messages.UndefinedName, messages.UndefinedLocal, messages.UndefinedExport)


def check(name, content):
    """[(line, words)] for every use of a name that is not defined. A file that is not Python has none."""
    try:
        tree = ast.parse(content, filename=name)
    except SyntaxError:
        return []
    found = checker.Checker(tree, filename=name).messages
    return [(one.lineno, f"{one.message % one.message_args}; define or import it")
            for one in found if isinstance(one, _TAKEN)]
