"""What a command leaves: files that the user names, and files that flash names, in a folder.

A file that the user names is written, and it is said where it takes the place of another. Of the
names that flash gives, inside a folder, only flash's own files are replaced.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from flash.errors import InputError, UsageError
from flash.files.reading import opened
from flash.files.writing import write_text

__all__ = ["put_result", "refuse_others_files", "replacing"]

#: How a document of flash, or a page that holds one, says whose it is.
_OWN = re.compile(rb'"?\bschema"?\s*[:=]\s*"flash\.[a-z]')
#: Bytes of a file in which it is looked for.
_MOST_READ = 1 << 24
#: Documents of a folder that are asked whether flash wrote there.
_MOST_DOCUMENTS = 100


def put_result(place: str | Path, text: str, quiet: bool = False) -> None:
    """Write a result into a file that the user names, or to standard output for "-".

    quiet: standard error is not told that another file was there. Errors as of ``write_text``.
    """
    if place == "-":
        sys.stdout.write(text)
        return
    words = replacing(place)
    write_text(place, text)
    if words and not quiet and sys.stderr is not None:
        sys.stderr.write(f"written: {place}{words}\n")


def replacing(place: str | Path) -> str:
    """What is said behind the name of a file to be written where one is there already."""
    with contextlib.suppress(OSError, ValueError):  # the writing says what is wrong with it
        if Path(place).is_file():
            return ", in place of the file that was there"
    return ""


def refuse_others_files(folder: str | Path, names: Iterable[str]) -> None:
    """Raise ``UsageError`` where a file of these names is in a folder and flash did not write it.

    A document says whose it is by its ``schema``, and so does a page that holds one; what cannot
    say it (a table, a picture, a network) is flash's where a document of flash lies beside it.
    """
    place = Path(folder)
    for name in names:
        there = place / name
        if not os.path.lexists(there) or there.is_dir() or _says_flash(there):
            continue
        if there.suffix == ".json" or not any(map(_says_flash, _documents(place))):
            raise UsageError(
                f"{there} is there and is not of flash, which would replace it: move it away, or "
                "give another folder with --out"
            )


def _documents(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.glob("*.json"))[:_MOST_DOCUMENTS]
    return []


def _says_flash(path: Path) -> bool:
    try:
        with opened(path) as stream:
            return bool(_OWN.search(stream.read(_MOST_READ)))
    except InputError:
        return False
