"""Measurements that people sent, checked, fitted and listed: ``python scripts/check_boards.py``.

Reads every ``*.jsonl`` in ``hw_profiles/measurements`` and ``hw_profiles/contributed`` as strictly
as ``flash fit``, fits each, and writes ``BOARDS.md``: the board, its runtime, and the error on
networks left out. ``--check`` writes nothing and exits with 1 where a file is refused, its
profile says too little (``_LEAST`` networks, Spearman ``_RANKS``), or ``BOARDS.md`` is not current.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from flash.errors import FlashError
from flash.fit import fit

__all__ = ["Board", "document", "files", "main"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "BOARDS.md"
FOLDERS = (ROOT / "hw_profiles" / "measurements", ROOT / "hw_profiles" / "contributed")
#: Networks that a contributed file has at least, and the rank correlation of its held-out runs.
_LEAST, _RANKS = 10, 0.9
#: No file of measurements is larger; a suite of 60 networks takes a tenth of it.
_MOST_BYTES = 5_000_000

_HEAD = """# Boards that people measured

Made by `python scripts/check_boards.py` from the files in `hw_profiles/measurements` and
`hw_profiles/contributed`; each row is fitted anew, the error is on networks left out of the fit.

| file | board | runtime | threads | date | networks | median error | Spearman |
|---|---|---|---|---|---|---|---|
"""
_TAIL = """
## Add yours

1. On the board: `flash profile --out myboard.jsonl` (five minutes; `flash profile --ssh USER@BOARD`
   from elsewhere), or `python3 profile_device.py --out myboard.jsonl` with the one file
   `scripts/profile_device.py` where only numpy and onnxruntime are installed.
2. Put `myboard.jsonl` into `hw_profiles/contributed` and run `python scripts/check_boards.py`: it
   reads the file strictly, fits it, says the error on networks left out, and writes this page anew.
3. Send a pull request with the file and this page. The file holds what the board is and what
   was measured, no names of users or hosts; it is published under the licence of the repository.

`flash fit hw_profiles/contributed/myboard.jsonl --name myboard` makes the profile from it.
"""


class Board:
    """One file of measurements, and what a fit to it says of itself."""

    def __init__(self, path: Path) -> None:
        if path.stat().st_size > _MOST_BYTES:
            raise FlashError(f"{path.name}: larger than {_MOST_BYTES // 1_000_000} MB")
        (self.figures,) = fit([path], name="board", baselines=False).to_records()
        self.path = path
        with path.open(encoding="utf-8") as file:
            self.header: dict[str, Any] = json.loads(file.readline())

    @property
    def problem(self) -> str:
        """Why the file says too little for a profile; empty where it says enough."""
        if self.figures["networks"] < _LEAST:
            return f"{self.path.name}: {self.figures['networks']} networks, {_LEAST} are asked"
        if self.figures["spearman"] < _RANKS:
            return f"{self.path.name}: held-out Spearman {self.figures['spearman']}, asked {_RANKS}"
        return ""

    @property
    def row(self) -> str:
        """Its row of the table."""
        device, runtime = self.header["device"], self.header["runtime"]
        cells = (
            f"`{self.path.name}`",
            f"{device['model']}, {device['cpu']}",
            f"{runtime['name']} {runtime['version']}",
            self.header["threads"],
            str(self.header["date"])[:10],
            self.figures["networks"],
            f"{self.figures['median_error_percent']:.1f} %",
            f"{self.figures['spearman']:.3f}",
        )
        return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: object) -> str:
    """What a file says, as a cell of a table: no markup, no more than fits."""
    return "".join(c for c in str(text) if c.isprintable()).replace("|", "/").replace("<", "(")[:60]


def files() -> list[Path]:
    """Every file of measurements, by name."""
    return sorted(path for folder in FOLDERS for path in folder.glob("*.jsonl"))


def document(boards: list[Board]) -> str:
    """The page that lists them."""
    return _HEAD + "\n".join(board.row for board in boards) + "\n" + _TAIL


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where not current")
    only_check = parser.parse_args().check
    boards, problems = [], []
    for path in files():
        try:
            board = Board(path)
        except FlashError as error:
            problems.append(str(error))
            continue
        boards.append(board)
        problems += [board.problem] if board.problem else []
    for line in problems:
        print(line)
    text = document(boards)
    if only_check:
        stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text
        if stale:
            print("BOARDS.md is not current: python scripts/check_boards.py")
        return 1 if problems or stale else 0
    PAGE.write_text(text, encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
