"""A space as it is, but for the classes of somebody's own images."""

from __future__ import annotations

import json
import re
from pathlib import Path

from flash.accuracy.storage import without_accuracy
from flash.errors import SpaceError, UsageError
from flash.files.locations import data_file
from flash.files.reading import read_text
from flash.files.writing import make_folder, write_text

__all__ = ["write_for_classes"]


def write_for_classes(place: str, out: Path, classes: int, images: str) -> None:
    """Write the space (name or path, as ``load_space``) with another number of classes to ``out``.

    Its name is that of the file, its description says whose classes they are; comments, input and
    variables stay. A model of accuracy is left out: it was of other classes.
    images: their name, for the description.

    Raises ``UsageError`` for an unknown space or a file that cannot be written.
    """
    source = data_file("models", place)
    if source is None:
        raise UsageError(f"unknown space '{place}'")
    text = without_accuracy(read_text(source, SpaceError))
    described = f"{source.stem} for the {classes} classes of {images}"
    for key, value in (
        ("name", json.dumps(out.stem)),
        ("description", json.dumps(described)),
        ("classes", str(classes)),
    ):
        line = f"{key} = {value}".replace("\\", r"\\")  # no reference to a group
        text = re.sub(rf"^{key}\s*=.*$", line, text, count=1, flags=re.M)
    make_folder(out.parent)
    write_text(out, text)
