"""The folder for files of the moment beside a result file, and what deaths left behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from typing import Iterator


def remove_leftovers(path: str) -> None:
    """Remove what a run that was killed left beside its result file; only while it is locked."""
    folder, name = os.path.split(os.path.abspath(os.path.realpath(path)))
    pattern = re.compile(rf"\.{re.escape(name[:100])}\.[a-z0-9_]{{8}}\.(?:new|work)$")
    for entry in os.listdir(folder):
        place = os.path.join(folder, entry)
        if pattern.match(entry) and not os.path.islink(place):
            if os.path.isdir(place):
                shutil.rmtree(place, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(place)


@contextlib.contextmanager
def work_folder(path: str) -> Iterator[str]:
    """A new folder beside a result file, gone afterwards: models and weights of the moment."""
    folder, name = os.path.split(os.path.abspath(os.path.realpath(path)))
    place = tempfile.mkdtemp(prefix=f".{name[:100]}.", suffix=".work", dir=folder)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
