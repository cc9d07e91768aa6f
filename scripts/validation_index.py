"""The page of all validations, from their docstrings: ``python scripts/validation_index.py``.

Writes ``docs/validation/index.md``, a row a script of ``scripts/validate`` that is run by itself:
the question it answers and the command. ``--check`` writes nothing and exits with 1 where the page
is not current; a test compares, too.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path

__all__ = ["document", "main"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "validation" / "index.md"
_HEAD = """# How well it works

Every table is printed by a command; third-party measurements are looked for in a folder `shared`
beside the repository (or in `FLASH_SHARED`), and what is absent is said. Made by
`scripts/validation_index.py` from the scripts themselves.

| question | command |
|---|---|
"""
_TAIL = """
Written up: [accuracy](accuracy.md), [boards](boards.md), [ranking](ranking.md),
[systems of the field](systems.md), [shared weights](supernet.md),
[faults and hostile inputs](faults.md), and the
[models of hardware and their sources](../models.md). Speed: `scripts/bench/`.
"""


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where not current")
    only_check = parser.parse_args().check
    text = document()
    if only_check:
        return 0 if PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


def document() -> str:
    """The page."""
    rows = []
    for path in sorted((ROOT / "scripts" / "validate").glob("*.py")):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        command = re.search(
            rf"^\s*(python scripts/validate/{path.name}.*(?:\n\s+\[.*)*)", said, re.M
        )
        if command is None:
            continue  # a part of another
        question = " ".join(said.split("\n\n")[0].split()).rstrip(".:")
        words = " ".join(command[1].split()).replace("|", "\\|")
        rows.append(f"| {question} | `{words}` |")
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


if __name__ == "__main__":
    sys.exit(main())
