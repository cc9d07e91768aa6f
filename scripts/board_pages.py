"""A page a target, made from its profile: ``python scripts/board_pages.py [--check]``.

Writes ``docs/boards/NAME.md`` for every profile that comes with flash, and an ``index.md``.
``--check`` writes nothing and exits with 1 where a page is not current. A test compares, too.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flash.files.locations import known_names
from flash.targets import Hardware, load_hardware

__all__ = ["documents", "main"]

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "boards"
#: How a kind is called, and what its numbers are.
KINDS = {
    "processor": ("board", "fitted to measurements"),
    "systolic": ("accelerator, systolic array", "analytical: no such chip was measured"),
    "imc": ("accelerator, crossbar tiles", "analytical: no such chip was measured"),
}
_NOTE = "Made from the profile by `scripts/board_pages.py`; do not edit."


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where not current")
    only_check = parser.parse_args().check
    made = documents()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if only_check:
        for path in stale:
            print(f"{path.name} is not current: python scripts/board_pages.py")
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


def documents() -> dict[Path, str]:
    """Path -> the text that belongs there."""
    boards = {name: load_hardware(name) for name in known_names("hw_profiles")}
    pages = {FOLDER / f"{name}.md": _page(name, board) for name, board in boards.items()}
    return {**pages, FOLDER / "index.md": _index(boards)}


def _index(boards: dict[str, Hardware]) -> str:
    lines = ["# Boards and chips", "", _NOTE, ""]
    lines += ["| target | what it is | numbers |", "|---|---|---|"]
    for name, board in boards.items():
        summary = board.target().summary()
        kind, how = _kind(summary)
        lines.append(f"| [`{name}`]({name}.md) | {summary['description']} ({kind}) | {how} |")
    lines += ["", "Not yours? [Measure it](../guide/measure.md): measurements make a profile.", ""]
    return "\n".join(lines)


def _kind(summary: Mapping[str, Any]) -> tuple[str, str]:
    """How a target's kind is called, and what its numbers are."""
    kind, how = KINDS.get(str(summary["kind"]), (str(summary["kind"]), ""))
    if any("derived from" in line for line in _lines(summary)):
        how = "derived from another board's measurements"
    return kind, how


def _page(name: str, board: Hardware) -> str:
    summary = board.target().summary()
    kind, how = _kind(summary)
    options = {key: values for key, values in board.options().items() if values}
    runtimes = options.get("runtimes", options.get("runtime", ()))
    lines = [f"# {summary['description']}", "", f"`--target {name}`: {kind}, {how}. {_NOTE}", ""]
    lines += [f"Try it: `python -m flash.search --target {name}`", ""]
    if runtimes:
        lines += ["| runtime | figure | where it comes from |", "|---|---|---|"]
        for runtime in runtimes:
            chosen = board.select(runtime).target().summary()
            for line in _lines(chosen):
                topic, _, words = line.partition(": ")
                lines.append(f"| `{name}:{runtime}` | {topic} | {_cell(words)} |")
        lines.append("")
    else:
        lines += ["| figure | where it comes from |", "|---|---|"]
        for line in _lines(summary):
            topic, _, words = line.partition(": ")
            lines.append(f"| {topic} | {_cell(words)} |")
        lines += ["", "| hardware variable | values |", "|---|---|"]
        lines += [f"| `{key}` | {', '.join(map(str, values))} |" for key, values in options.items()]
        lines.append("")
    notes = board.target().notes
    if notes:
        lines += ["What a reader should know:", ""]
        for note in notes:
            lines += textwrap.wrap(f"- {note}", 110, subsequent_indent="  ")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _lines(summary: Mapping[str, Any]) -> list[str]:
    given = summary.get("provenance", ())
    return [given] if isinstance(given, str) else [str(line) for line in given]


def _cell(words: str) -> str:
    return words.replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
