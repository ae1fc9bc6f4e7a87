"""sluiced on a node of a lab: its file, its start, reload and end."""

import pathlib
import signal

import yaml

from lab.network import run
from lab.process import Failure, wait_until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SLUICED = ROOT / "build" / "sluiced"
# The one before, where `tools/check upgrade` has made it.
PREVIOUS_TREE = ROOT / "build" / "previous" / "tree"
PREVIOUS = PREVIOUS_TREE / "build" / "sluiced"
SLUICECTL = ROOT / "build" / "sluicectl"
DECAP = ROOT / "build" / "tools" / "decap" / "decap"


def dump(configuration):
    """YAML as people write it: a line for each interface, listener and backend."""
    return yaml.safe_dump(configuration, sort_keys=False, default_flow_style=None, width=110)


class Balancer:
    """One sluiced with folders of its own. The file is `configuration`, as YAML, written at start and at reload."""

    def __init__(self, node, configuration, name="sluiced"):
        self.node = node
        self.configuration = configuration
        self.name = name
        self.folder = node.lab.folder / f"{node.name}-{name}"
        self.folder.mkdir()
        self.file = self.folder / "sluice.yaml"
        self.process = None
        self.program = SLUICED
        self.prefix = ()  # a command that runs the program

    def arguments(self):
        return [f"--config={self.file}", f"--state_dir={self.folder}/state", f"--run_dir={self.folder}/run"]

    def write(self, text=None):
        """Writes the file: `text`, or the configuration."""
        self.file.write_text(text if text is not None else dump(self.configuration))

    def start(self, timeout=30):
        """Starts it; returns when it serves."""
        self.launch()
        self.process.wait_for_output("ready generation=", timeout)
        return self

    def launch(self):
        """Starts it and does not wait."""
        self.write()
        self.process = self.node.start(self.name, *self.prefix, self.program, *self.arguments())

    def refuse(self, timeout=30):
        """Starts it where it must not start; its words."""
        self.launch()

        def serves():
            return "ready generation=" in self.process.output()
        wait_until(lambda: self.process.exit_code() is not None or serves(),
                   lambda: f"sluiced to refuse its start:\n{self.process.tail()}", timeout)
        if serves() or self.process.exit_code() == 0:
            raise Failure(f"sluiced started where it must not:\n{self.process.tail()}")
        code = self.process.exit_code()
        if code < 0:
            raise Failure(f"sluiced was ended by signal {-code}:\n{self.process.tail()}")
        return self.process.output()

    def reload(self, text=None, timeout=20):
        """Writes the file, sends SIGHUP; the line that sluiced answers in its log."""
        self.write(text)
        before = len(self._answers())
        self.process.signal(signal.SIGHUP)

        def answered():
            if self.process.exit_code() is not None:
                raise Failure(f"sluiced ended during a reload:\n{self.process.tail()}")
            return self._answers()[before:]
        return wait_until(answered, lambda: f"an answer to SIGHUP:\n{self.process.tail()}", timeout)[0]

    def _answers(self):
        return [line for line in self.process.output().splitlines()
                if "reload: generation=" in line or "reload refused" in line]

    def command(self, *flags, check=False):
        """Runs `sluiced FLAGS` beside the running one, with its file and folders."""
        return run(self.node.command([SLUICED, *flags, *self.arguments()]), check=check)

    @property
    def api(self):
        """Where it serves its API, as gRPC has it."""
        return f"unix:{self.folder}/run/api.sock"

    def ctl(self, *words, check=True, stdin=""):
        """Runs `sluicectl WORDS` on it."""
        return run(self.node.command([SLUICECTL, *words, f"--api={self.api}"]), stdin=stdin, check=check)

    def stop(self, timeout=20):
        """Ends it in order; Failure unless it exits with 0."""
        self.process.signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        if code != 0:
            raise Failure(f"sluiced ended with {code}:\n{self.process.tail()}")

    def kill(self):
        """Ends it as a crash would."""
        self.process.kill()
