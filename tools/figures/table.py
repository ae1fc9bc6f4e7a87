"""Figures as a table in Markdown."""

from figures import goals


def number(value):
    """Three digits that count, and no exponent."""
    if value == 0:
        return "0"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(figures):
    return f"{number(figures['median'])} ({number(figures['min'])} to {number(figures['max'])})"


def _line(row):
    words = [row["name"].replace("|", "\\|"), spread(row)]
    if row["unit"] != "ns/packet":
        words[1] += f" {row['unit']}"
    beside = row.get("beside")
    words += [f"{beside['name']}: {spread(beside)}", f"{row['ratio']:.2f}"] if beside else ["", ""]
    return "| " + " | ".join(words) + " |"


def _words(asked, row):
    """What is asked for, in the unit of what it is asked of."""
    limit = f"at least {number(asked['least'])}" if "least" in asked else f"at most {number(asked['most'])}"
    return limit if asked["of"] == "ratio" else f"{limit} {row['unit']}"


def _asked(rows):
    """A table of its own for all of which something is asked."""
    lines = ["", "### What is asked for", "| | | asked for | |", "|---|---|---|---|"]
    for row in rows:
        beside = row.get("beside")
        words = [f"{row['group']}: {row['name']}", f"{number(row['median'])} {row['unit']}"]
        words[1] += f", {number(row['ratio'])} of {beside['name']}" if beside else ""
        words += [", ".join(_words(asked, row) for asked in row["asked"]), "yes" if goals.holds(row) else "**no**"]
        lines.append("| " + " | ".join(words) + " |")
    return lines


def markdown(figures, groups, notes):
    """`groups`: {name: what it is}; `notes`: {name: what is to be known of its rows}"""
    lines = [f"Median of {figures['repetitions']} runs in turns (least to most), {figures['seconds']:g} s each.", ""]
    lines += ["| machine | |", "|---|---|"]
    lines += [f"| {what} | {words} |" for what, words in figures["machine"].items()]
    asked = [row for row in figures["rows"] if "asked" in row]
    lines += _asked(asked) if asked else []
    for name, what in groups.items():
        rows = [row for row in figures["rows"] if row["group"] == name]
        if not rows:
            continue
        lines += ["", f"### {name}: {what}", *([notes[name], ""] if name in notes else [])]
        lines += ["| | ns a packet, or as it says | beside it | ratio |", "|---|---|---|---|"]
        lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"
