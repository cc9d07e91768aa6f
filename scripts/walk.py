"""Which rooms of flash a command walks through, in order: the answer to "what happens when".

    python scripts/walk.py search --target rpi3b
    python scripts/walk.py estimate --space nasbench201 --designs cells.txt --target rpi4b

It runs the command line as ``flash`` would, under ``sys.setprofile``, and prints a line a *stay*:
its number, the room, the functions by which it was entered. A room that needs one stay, or two
(on the way down and on the way back), is one a reader can follow; many stays are climbs.

How it counts:

* A room is a folder directly below ``flash/``. What lies below it (``search/problem``,
  ``targets/imc``) is the same room.
* The verb's own room is where the walk starts; its own calls are no stays.
* A stay begins when code of the verb calls into another room: a function, a method, a property,
  the resumption of a generator, each counts. Consecutive calls into one room are one stay.
* Whatever is called from inside a room, in whichever room that is, belongs to that room's stay:
  the optimizer that asks for stage tables, the evaluation that asks a target. So do callbacks
  into the verb, and what these call.
* Ground is no room: ``files``, ``quantities``, ``workers``, ``device`` and the modules in the
  root of the package (``errors``, ``extras``, ``plugins``, ``command``, ...). Calls into it are not
  counted, and what it calls counts as called by whoever called it.
* Nor do imports count, whenever they happen, nor code that Python generates (the ``__init__`` of
  a dataclass); its ``__post_init__`` does.
* Only the main thread of the process is followed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import flash
from flash.command import run_verb

GROUND = frozenset({"device", "files", "quantities", "workers"})
_ROOT = f"{Path(flash.__file__).resolve().parent}/"
#: Functions of a stay that are printed by name.
_NAMED = 6


@dataclass
class Stay:
    """One visit to a room: the functions by which the verb entered it, with their calls."""

    room: str
    entries: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        names = list(self.entries)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"{self.room:<13} {', '.join(names[:_NAMED])}{more}"


class Walk:
    """Follows the calls of a verb; ``stays`` are the rooms it visited, in order."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.stays: list[Stay] = []
        self._rooms: dict[str, str] = {}
        self._outside: FrameType | None = None  # the frame that left the verb, or began an import

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """What ``sys.setprofile`` calls."""
        if event == "call":
            if self._outside is None:
                self._enter(frame)
        elif event == "return" and self._outside is frame:
            self._outside = None

    def _enter(self, frame: FrameType) -> None:
        code = frame.f_code
        if code.co_name == "<module>" or code.co_filename.startswith("<frozen importlib"):
            self._outside = frame
            return
        room = self._room(code.co_filename)
        if room in ("", self.verb):
            return
        self._outside = frame
        if not self.stays or self.stays[-1].room != room:
            self.stays.append(Stay(room))
        entries = self.stays[-1].entries
        entries[code.co_qualname] = entries.get(code.co_qualname, 0) + 1

    def _room(self, file: str) -> str:
        """The room of a file; empty for ground and for what is not flash's."""
        if file not in self._rooms:
            inside = str(Path(file).resolve()).removeprefix(_ROOT)
            room, _, rest = inside.partition("/")
            foreign = inside.startswith(("/", "<")) or not rest
            self._rooms[file] = "" if foreign or room in GROUND else room
        return self._rooms[file]


def walk(verb: str, arguments: Sequence[str]) -> tuple[int, list[Stay]]:
    """Run ``flash VERB ARGUMENTS``; its exit code and the stays."""
    follow = Walk(verb)
    sys.setprofile(follow)
    try:
        code = run_verb(verb, arguments)
    finally:
        sys.setprofile(None)
    return code, follow.stays


def main(arguments: Sequence[str]) -> int:
    """Print the walk of a command line to standard error, after its own output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", help="search, estimate, ...; 'flash' may stand before it")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the command takes")
    given = parser.parse_args(arguments[1:] if arguments[:1] == ["flash"] else arguments)
    code, stays = walk(given.verb, given.arguments)
    counts: dict[str, int] = {}
    for number, stay in enumerate(stays, start=1):
        counts[stay.room] = counts.get(stay.room, 0) + 1
        print(f"{number:>3}  {stay}", file=sys.stderr)
    often = ", ".join(f"{room} {count}" for room, count in counts.items())
    print(f"stays: {often}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
