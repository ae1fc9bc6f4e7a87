"""Charts of the figures, SVG by gnuplot: the same figures make the same bytes."""

import re
import shutil
import subprocess

from figures.rows import Failed

# Okabe and Ito's colours, which people who see fewer of them can tell apart too.
COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
# By number of flows: title, and the rows of path_bench. The floor has no flows.
BY_FLOWS = (("dsr_l2", r"BurstDsrL2/(\d+)"), ("nat", r"NatForward/(\d+)"), ("full_nat", r"FullNatForward/(\d+)"),
            ("ipip", r"BurstIpip/(\d+)"), ("new flows", r"BurstNewFlows/(\d+)"))


def _series(rows, pattern):
    """[(flows, median, min, max)]"""
    found = [(re.fullmatch(pattern, row["name"]), row) for row in rows if row["group"] == "path"]
    return sorted((int(match[1]), row["median"], row["min"], row["max"]) for match, row in found if match)


def _block(name, lines):
    return f"${name} << EOD\n" + "\n".join(" ".join(str(word) for word in line) for line in lines) + "\nEOD\n"


def _preamble(title):
    return (f"set terminal svg size 760,420 font 'sans-serif,13' noenhanced background '#ffffff' name 'figures'\n"
            f"set title '{title}'\nset grid ytics lc '#dddddd'\nset border 3\nset tics nomirror\n")


def by_flows(rows):
    """Commands of the chart; None without figures for it."""
    series = [(title, _series(rows, pattern)) for title, pattern in BY_FLOWS]
    series = [(title, points) for title, points in series if points]
    floor = next((row for row in rows if row["group"] == "path" and row["name"] == "Floor/4"), None)
    if not series or floor is None:
        return None
    points = [point for _, some in series for point in some]
    ends = (min(point[0] for point in points), max(point[0] for point in points))
    series.insert(0, ("floor", [(flows, floor["median"], floor["min"], floor["max"]) for flows in ends]))
    text = _preamble("The packet path: nanoseconds a packet by number of flows")
    text += ("set logscale x\nset format x '%.0s%c'\nset xlabel 'flows'\nset ylabel 'ns a packet'\nset yrange [0:*]\n"
             f"set xrange [{ends[0] / 1.5}:{ends[1] * 1.5}]\nset key outside right\n")
    text += "".join(_block(f"s{i}", points) for i, (_, points) in enumerate(series))
    lines = [f"$s{i} using 1:2:3:4 with yerrorlines lw 1.5 pt {'0' if title == 'floor' else '7 ps 0.5'} "
             f"lc '{colour}' title '{title}'" for i, ((title, _), colour) in enumerate(zip(series, COLOURS))]
    return text + "plot " + ", \\\n  ".join(lines) + "\n"


def beside_floor(rows):
    """The whole engine's rate in Mpps, and its floor's; None without figures for it."""
    shown = [row for row in rows if row["group"] == "engine" and "beside" in row]
    if not shown:
        return None
    text = _preamble("The whole dpdk engine on one CPU: packets a second beside its floor")
    text += ("set style data histograms\nset style histogram clustered gap 1\nset style fill solid 0.9 noborder\n"
             "set ylabel 'Mpps'\nset yrange [0:*]\nset xtics rotate by -35 scale 0\nset key outside right\n")
    names = [row["name"].replace(" flows", "").replace(",000,000", "M").replace(",000", "k") for row in shown]
    text += _block("rates", [(f'"{name}"', f"{1e3 / row['median']:.2f}", f"{1e3 / row['beside']['median']:.2f}")
                             for name, row in zip(names, shown)])
    return text + (f"plot $rates using 2:xtic(1) lc '{COLOURS[1]}' title 'engine', "
                   f"$rates using 3 lc '{COLOURS[5]}' title 'floor'\n")


CHARTS = {"flows.svg": by_flows, "engine.svg": beside_floor}


def _draw(commands):
    ran = subprocess.run(["gnuplot"], input=commands, capture_output=True, text=True, check=False)
    if ran.returncode != 0 or not ran.stdout.startswith("<?xml"):
        raise Failed(f"gnuplot draws nothing:\n{ran.stderr.strip()}")
    return ran.stdout


def draw(figures, folder):
    """Writes the charts that there are figures for; returns their paths."""
    if shutil.which("gnuplot") is None:
        raise Failed("charts need gnuplot; apt-get install gnuplot-nox")
    written = []
    for name, commands in CHARTS.items():
        text = commands(figures["rows"])
        if text is None:
            continue
        (folder / name).write_text(_draw(text), encoding="utf-8")
        written.append(folder / name)
    return written
