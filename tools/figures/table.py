"""Figures as a table in Markdown."""


def number(value):
    """Three digits that count, and no exponent."""
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


def markdown(figures, groups):
    """`groups`: {name: what it is}"""
    lines = [f"Median of {figures['repetitions']} runs in turns (least to most), {figures['seconds']:g} s each.", ""]
    lines += ["| machine | |", "|---|---|"]
    lines += [f"| {what} | {words} |" for what, words in figures["machine"].items()]
    for name, what in groups.items():
        rows = [row for row in figures["rows"] if row["group"] == name]
        if not rows:
            continue
        lines += ["", f"### {name}: {what}"]
        lines += ["| | ns a packet, or as it says | beside it | ratio |", "|---|---|---|---|"]
        lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"
