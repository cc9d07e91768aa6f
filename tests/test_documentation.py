"""What the documentation says to type works: every block is run, or says why it is not.

A block of ``sh`` or ``python`` in README, CONTRIBUTING, the guides and the examples runs here, line
by line in one folder a page, beside the files of ``examples/files``. A block below a line
``<!-- not run here: REASON -->`` (it needs a board, hours or the network) is not; that its commands
exist and take these options is checked all the same. A block of ``text`` below one that runs is
what it prints, or a part of that.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import runpy
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from flash import COMMANDS
from flash.__main__ import _HOMES, _dispatch
from flash.command import CommandParser
from flash.plugins import GROUPS, registry

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "examples" / "files"
PAGES = sorted(
    path.relative_to(ROOT)
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    )
    if "golden" not in path.parts
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- not run here: (.+?) -->\n\Z")
FLASH = re.compile(r"^(?:\.venv/bin/)?(?:python -m flash[. ]|flash )(\w+)(.*)$")
#: Lines that make the environment: .ci/run runs the first two, word for word.
INSTALLS = ("python3 -m venv", "pip install", ".venv/bin/pip", ".ci/run", "cd ")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    reason: str  # why it is not run; empty where it is

    @property
    def lines(self):
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and line[0] != "#"]


def blocks_of(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        mark = MARK.search(text[: found.start()])
        yield Block(found[1], found[2], mark[1] if mark else "")


def command_of(line):
    """The words of a flash command, or None for another line."""
    line = line.split(" | ")[0].split(" && ")[-1]
    found = FLASH.match(line.strip())
    if not found or found[1] not in COMMANDS:
        return None
    return [found[1], *shlex.split(found[2], comments=True)]


def parser_of(command, monkeypatch):
    """The options a command takes, without running it."""

    class Parsed(Exception):
        pass

    def stop(self, arguments=None, namespace=None):
        found = original(self, arguments, namespace)
        raise Parsed from (None if found else None)

    original = CommandParser.parse_args
    monkeypatch.setattr(CommandParser, "parse_args", stop)
    module, _, function = _HOMES.get(command, f"flash.{command}.command:main").partition(":")
    return getattr(importlib.import_module(module), function), Parsed


def test_there_are_pages_and_every_block_has_a_language():
    assert len(PAGES) > 15
    bare = [str(page) for page in PAGES for block in blocks_of(page) if not block.language]
    assert not bare


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_that_are_not_run_take_the_options_shown(page, monkeypatch):
    for block in blocks_of(page):
        if block.language != "sh":
            continue
        for line in block.lines:
            words = command_of(line)
            if words is None:
                continue
            with monkeypatch.context() as patch:
                main, parsed = parser_of(words[0], patch)
                with pytest.raises(parsed):
                    main(words[1:])


def expanded(words):
    """Patterns of files as a shell expands them."""
    found = []
    for word in words:
        matches = sorted(map(str, Path().glob(word))) if "*" in word else []
        found += matches or [word]
    return found


def run_line(line):
    """What the line prints; only flash commands, and a few of the shell's that need no shell."""
    words = command_of(line)
    if words is None:
        first, *rest = shlex.split(line, comments=True)
        if first == "cp":
            shutil.copy(*rest)
            return ""
        raise AssertionError(f"this line is neither run nor marked: {line}")
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        _dispatch(expanded(words))
    if "| jq" in line:
        json.loads(stream.getvalue())
    return stream.getvalue()


RUN = [page for page in PAGES if any(b.language in ("sh", "python") and not b.reason
                                     for b in blocks_of(page))]  # fmt: skip


@pytest.fixture
def registries_as_before():
    """What a page adds to a registry is there for that page alone."""
    yield
    for members in map(registry, GROUPS.keys() - {"flash.proxies"}):
        for name in [name for name in members if members.origin(name) == "running code"]:
            members.remove(name)


@pytest.mark.parametrize("page", RUN, ids=str)
@pytest.mark.usefixtures("registries_as_before")
def test_blocks_do_what_they_say(page, tmp_path, monkeypatch):
    if any("onnx" in block.text for block in blocks_of(page)):
        pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    for file in FILES.iterdir():
        shutil.copy(file, tmp_path)
    printed = None
    for block in blocks_of(page):
        if block.language == "text" and printed is not None:
            assert told(block.text) in told(printed)  # all of it, or a part
        printed = None
        if block.reason:
            continue
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.text, str(page), "exec"), {"__name__": "__main__"})  # noqa: S102
        if block.language == "sh":
            lines = [line for line in block.lines if not installs_only(line)]
            printed = "".join(run_line(line) for line in lines)


def installs_only(line):
    return line.strip().startswith(INSTALLS) and command_of(line) is None


def told(text):
    """Output without what differs from run to run: the width, and the last bits of a gap."""
    return re.sub(r"within [\d.e-]+ %", "within x %", " ".join(text.split()))


def test_the_readme_is_short_and_has_a_picture_and_links():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1500
    assert re.search(r"!\[[^]]+\]\(docs/images/\w+\.svg\)", text)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_files(page):
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("script", ["board_pages", "validation_index", "check_boards"])
def test_pages_made_by_a_script_are_current(script, monkeypatch, capsys):
    """After a change of profiles or scripts: python scripts/SCRIPT.py."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", [script, "--check"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")
    assert left.value.code == 0, f"python scripts/{script}.py: {''.join(capsys.readouterr())}"


def test_the_environment_of_the_readme_is_the_one_that_is_tested():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    line = (
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' "
        "&& .venv/bin/python -m pytest"
    )
    assert line in text and line in ci
