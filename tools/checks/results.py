"""What passed, failed and was skipped: read from JUnit files, added up, told at the end."""

import json
import xml.etree.ElementTree as xml


class Results:
    """Counts of one run, and the names of what failed or was skipped. Used by one thread."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add(self, name, passed, words=""):
        """One check that is not a test case of its own: a build, lint."""
        if passed:
            self.passed += 1
        else:
            self.failed.append((name, words))

    def skip(self, name, why):
        self.skipped.append((name, why))

    def add_junit(self, prefix, path):
        """Adds the cases of a JUnit file; returns {suite name: number of failed cases}."""
        failed_by_suite = {}
        for suite in xml.parse(path).getroot().iter("testsuite"):
            failed_by_suite.setdefault(suite.get("name", ""), 0)
            for case in suite.iter("testcase"):
                name = f"{prefix}: {case.get('classname', '')}.{case.get('name')}"
                skipped = case.find("skipped")
                if case.find("failure") is not None or case.find("error") is not None:
                    self.failed.append((name, ""))
                    failed_by_suite[suite.get("name", "")] += 1
                elif skipped is not None or case.get("status") == "notrun":
                    why = (skipped.get("message") or "") if skipped is not None else "disabled"
                    self.skipped.append((name, " ".join(why.split())))
                else:
                    self.passed += 1
        return failed_by_suite

    def add_meson(self, prefix, logs):
        """Adds a run of `meson test`, `logs` is its log without the ending; returns the output of what failed."""
        failed_by_suite = self.add_junit(prefix, f"{logs}.junit.xml")
        outputs = []
        with open(f"{logs}.json", encoding="utf-8") as file:
            tests = [json.loads(line) for line in file]
        for test in tests:
            if test["result"] in ("OK", "SKIP", "EXPECTEDFAIL"):
                continue
            outputs.append(f"--- {test['name']}: {test['result']}\n{_tail(test)}")
            # A program may fail though each of its cases passed: a leak that the sanitizer finds at the end.
            if self._cases_failed(test["name"], failed_by_suite) == 0:
                self.failed.append((f"{prefix}: {test['name']}", test["result"].lower()))
        return outputs

    @staticmethod
    def _cases_failed(name, failed_by_suite):
        """Failed cases that the JUnit file has for a program, whether it reports its cases or is one case itself."""
        own = sum(n for suite, n in failed_by_suite.items() if f".{name}." in suite)
        if own == 0 and not any(f".{name}." in suite for suite in failed_by_suite):
            return 1  # one case, counted by its exit code already
        return own

    def report(self):
        """Prints the skipped and the failed, then the count alone on the last line; returns the exit code."""
        for name, why in self.skipped:
            print(f"SKIPPED {name}" + (f": {why}" if why else ""))
        for name, words in self.failed:
            print(f"FAILED {name}" + (f": {words}" if words else ""))
        print(f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped", flush=True)
        return 1 if self.failed else 0


def _tail(test, lines=60):
    text = (test.get("stdout") or "") + (test.get("stderr") or "")
    return "\n".join(text.splitlines()[-lines:])
