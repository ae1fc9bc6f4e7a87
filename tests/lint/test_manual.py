"""The man pages have every verb and flag, and no mistakes that groff finds."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = {"sluiced.8": "src/sluiced/main.cc", "sluicectl.1": "tools/sluicectl/main.cc"}


def read(page):
    """As a terminal shows it."""
    ran = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-P-cbou", ROOT / "docs/man" / page],
                         capture_output=True, text=True, check=True)
    assert ran.stderr == "", ran.stderr
    return ran.stdout


def verbs():
    source = (ROOT / "tools/sluicectl/verbs.cc").read_text()
    return [words.replace('", "', " ") for words in re.findall(r'^      \{\{"([^}]*)"\}, \{', source, re.MULTILINE)]


@pytest.mark.parametrize("page,source", PAGES.items())
def test_every_flag_is_there_and_no_other(page, source):
    flags = set(re.findall(r"DEFINE_\w+\(\s*(\w+),", (ROOT / source).read_text()))
    text = read(page)
    written = set(re.findall(r"--(\w+)", text)) | set(re.findall(r"(?<![-\w])-(\w)\b", text))
    assert flags and written - {"help"} == flags


def test_every_verb_is_there():
    named = verbs()
    assert len(named) > 15 and "backend add" in named
    text = read("sluicectl.1")
    for verb in named:
        assert re.search(rf"^       {verb}\b", text, re.MULTILINE), verb
