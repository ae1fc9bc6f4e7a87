"""tools/lint on small good and bad samples: each rule finds what it is for, and nothing in good code."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HEADER = "// Adds. Thread-safe.\n#pragma once\n"


def lint(root, name, content):
    """What tools/lint prints for a tree of this one file; the count line left out."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    shutil.copy(ROOT / ".clang-format", root)
    ran = subprocess.run(
        [sys.executable, "-B", str(ROOT / "tools/lint"), "--root", str(root), name], capture_output=True, text=True)
    problems = ran.stdout.splitlines()[:-1]
    assert ran.returncode == (1 if problems else 0), ran.stderr
    return problems


def function(lines):
    """A C++ function of that many lines, laid out as clang-format does."""
    body = "".join(f"  Use({n});\n" for n in range(lines - 2))
    return f"void Long() {{\n{body}}}\n"


GOOD = [
    ("src/base/sum.cc", '#include "base/sum.h"\n\n#include <vector>\n'),
    ("src/tables/index.cc", '#include "base/status.h"\n#include "config/sluice.pb.h"\n#include "sluice/tables.h"\n'),
    ("src/engine/dpdk/worker.cc", '#include <rte_mbuf.h>\n\n#include "engine/engine.h"\n#include "sluice/parse.h"\n'),
    ("src/engine/dpdk/afxdp_port.cc", "#include <xdp/xsk.h>\n"),
    ("src/control/controller.cc", '#include "engine/engine.h"\n#include "neighbor/neighbor.h"\n'),
    ("src/sluiced/main.cc", "#include <gflags/gflags.h>\n\nint main() {\n  return 0;\n}\n"),
    ("bpf/decap.bpf.c", '#include <bpf/bpf_helpers.h>\n\n#include "sluice/parse.h"\n'),
    ("src/base/sum.h", HEADER),
    ("src/base/long.cc", function(60)),
    ("src/base/table.cc", "static const int kTable[] = {\n" + "    1,  //\n" * 100 + "};\n"),
    ("src/base/text.cc", 'const char* kBrace = "{";  // {\nconst char kOther = \'{\';\n' + function(50)),
    ("tools/one.py", "def one():\n    return 1\n"),
    ("tools/one.sh", "#!/bin/bash\necho one\n"),
]

BAD = [
    ("src/base/sum.cc", '#include "tables/maglev.h"\n', "src/base/sum.cc:1: base may not include tables"),
    ("src/tables/index.cc", '#include "control/c.h"\n', ":1: tables may not include control"),
    ("src/engine/dpdk/a.cc", '#include "engine/sim/sim.h"\n', ":1: engine/dpdk may not include engine/sim"),
    ("src/control/c.cc", '#include "engine/dpdk/engine.h"\n', ":1: control may not include engine/dpdk"),
    ("src/neighbor/n.cc", '#include "sluice/tables.h"\n', ":1: neighbor may not include path"),
    ("include/sluice/parse.h", '// Reads.\n#include "base/address.h"\n', ":2: path may not include base"),
    ("src/base/sum.cc", '#include "../config/c.h"\n', ":1: \"../config/c.h\" climbs out"),
    ("src/base/sum.cc", "#include <rte_mbuf.h>\n", "only src/engine/dpdk may"),
    ("src/engine/dpdk/engine.cc", "#include <bpf/libbpf.h>\n", "only src/engine/xdp and src/engine/dpdk/afxdp*"),
    ("src/base/flags.cc", "#include <gflags/gflags.h>\n", "outside of a main"),
    ("src/new_room/a.cc", '#include "base/address.h"\n', "room new_room is not in the table"),
    ("src/base/sum.h", "#pragma once\n", ":1: a header is a contract"),
    ("src/base/long.cc", function(61), ":1: function Long has 61 lines"),
    ("src/base/long.cc", "namespace sluice {\n\n" + function(70) + "\n}  // namespace sluice\n", ":3: function Long"),
    ("src/base/layout.cc", "int  a;\n", ":1: not in the house's layout"),
    ("src/base/many.cc", "int a;\n" * 501, ":501: the file has 501 lines"),
    ("src/base/later.cc", "// TO" + "DO: all of it\n", "in the tree; do it now"),
    ("docs/later.md", "FIX" + "ME\n", "in the tree; do it now"),
    ("docs/white.md", "one \n", ":1: trailing white space"),
    ("docs/end.md", "one", ":1: no newline at the end"),
    ("tools/one.py", "def one(:\n", ":1: not Python"),
    ("tools/one.py", "def one():\n    return two()\n", ":2: undefined name 'two'"),
    ("tools/one.py", "def one():\n" + "    print()\n" * 60, ":1: function one has 61 lines"),
    ("tools/one.sh", "#!/bin/bash\nif true; then\n", "bash cannot read it"),
    ("tools/script", "#!/bin/bash\nif true; then\n", "bash cannot read it"),
]


@pytest.mark.parametrize("name,content", GOOD, ids=[f"{n}-{i}" for i, (n, _) in enumerate(GOOD)])
def test_good_code_has_no_problem(tmp_path, name, content):
    assert lint(tmp_path, name, content) == []


@pytest.mark.parametrize("name,content,expected", BAD, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(BAD)])
def test_bad_code_is_found_with_its_place(tmp_path, name, content, expected):
    assert any(expected in problem for problem in lint(tmp_path, name, content)), expected


def test_members_and_lambdas_count_in_their_function(tmp_path):
    content = "struct A {\n  void Long() {\n    Run([] {\n" + "      Use();\n" * 60 + "    });\n  }\n};\n"
    assert any(":2: function Long has 64 lines" in problem for problem in lint(tmp_path, "src/base/a.cc", content))


def test_long_arguments_do_not_hide_a_function(tmp_path):
    content = "TEST(A, B) {\n" + "  Use({1, 2}, [] { return 1; });\n" * 60 + "}\n"
    assert any(":1: function TEST has 62 lines" in problem for problem in lint(tmp_path, "tests/a.cc", content))
