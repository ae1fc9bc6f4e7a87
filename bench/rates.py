"""What the scripts that compare rates have in common: runs of sluicebench, sides in turns, and figures in words."""

import json
import pathlib
import statistics
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parent.parent / "build" / "sluicebench"
# Besides the time that a run measures.
PATIENCE = 300


def sluicebench(options, *words):
    """What it says; the end of this program when it fails."""
    ran = subprocess.run([options.program, *words], capture_output=True, text=True, timeout=PATIENCE + options.seconds,
                         check=False)
    if ran.returncode != 0:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {ran.stderr.strip()}")
    return ran.stdout


def mpps(options, device, flows, forwarding, workers=1):
    """Of one run of the engine over a device that brings its own traffic."""
    return json.loads(sluicebench(
        options, f"--device={device}", f"--workers={workers}", f"--flows={flows}", f"--forwarding={forwarding}",
        f"--seconds={options.seconds}", "--repetitions=1", f"--huge_pages={options.huge_pages}", "--json=-"))["mpps"]


def in_turns(sides, repetitions, measure):
    """{side: [what `measure(side)` gives]}; each is the first one in turn, so that what drifts falls on all."""
    found = {side: [] for side in sides}
    for repetition in range(repetitions):
        first = repetition % len(sides)
        for side in sides[first:] + sides[:first]:
            found[side].append(measure(side))
    return found


def text(rates):
    return f"{statistics.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})"


def ratio(rates, others):
    return statistics.median(rates) / statistics.median(others)


def arguments(parser):
    """Options of every script, and what they were given."""
    parser.add_argument("--flows", default="2000,64000", help="numbers of flows; of each worker where there are more")
    parser.add_argument("--seconds", type=float, default=1, help="of each run")
    parser.add_argument("--repetitions", type=int, default=7, help="runs of each side, in turns")
    parser.add_argument("--huge_pages", default="preferred", choices=["preferred", "required", "off"],
                        help="as engine.huge_pages")
    parser.add_argument("--json", action="store_true", help="every rate as JSON in place of the table")
    parser.add_argument("--program", type=pathlib.Path, default=BENCH, help="sluicebench, if it lies elsewhere")
    options = parser.parse_args()
    # Without a folder in front it would be looked for among the system's commands.
    options.program = options.program.resolve()
    options.flows = [int(flows) for flows in options.flows.split(",")]
    if not options.program.exists():
        sys.exit(f"{parser.prog}: there is no {options.program}; build it: ninja -C build sluicebench")
    return options


def report(options, heading, lines, measure):
    """A table whose lines come as they are measured, or JSON. `measure(flows)`: {side: rates}; `lines(flows, rates)`"""
    found = []
    if not options.json:
        print(heading, flush=True)
    for flows in options.flows:
        rates = measure(flows)
        found.append({"flows": flows, "mpps": rates})
        if not options.json:
            print("\n".join(lines(flows, rates)), flush=True)
    if options.json:
        print(json.dumps(found))
