"""Words completed in a shell, as bash asks by argcomplete's protocol."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("argcomplete")


def completed(line, tmp_path):
    out = tmp_path / "words"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
    }
    code = "import sys; sys.argv[0] = 'flash'; from flash.__main__ import main; main()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    return out.read_text().split("\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("flash sea", {"search"}),
        ("flash co", {"compare"}),
        ("flash search --max-", {"--max-latency", "--max-energy", "--max-memory", "--max-area"}),
        ("flash check m.onnx --conf", {"--confidence"}),
        ("flash list --js", {"--json"}),
    ],
)
def test_the_shell_is_told_how_a_word_may_go_on(line, words, tmp_path):
    assert set(completed(line, tmp_path)) == words


def test_a_command_is_among_all_of_them(tmp_path):
    assert {"search", "doctor", "compare"} <= set(completed("flash ", tmp_path))
