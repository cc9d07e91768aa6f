"""The state of a training on disk: written whole after every epoch, read back if it is its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from flash.files.reading import opened
from flash.files.writing import make_folder, whole_file

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(path: Path, label: str, content: Mapping[str, Any]) -> None:
    """The state on disk, whole or as it was before; ``label`` says what it is of.

    Raises ``OSError`` where the disk does not take it.
    """
    make_folder(path.parent)
    with whole_file(path) as file:
        try:
            torch.save({"label": label, **content}, file)
        except RuntimeError as error:  # PyTorch's own, over that of the disk
            raise _of_the_disk(error) from None


def _of_the_disk(error: BaseException) -> BaseException:
    """The error of the disk that another one hides, else that one."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__context__
    return found or error


def read_checkpoint(path: Path | None, label: str) -> Mapping[str, Any]:
    """What was written of this very training; nothing where that cannot be read."""
    if path is None or not path.exists():
        return {}
    try:
        with opened(path) as file:
            content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        return content if content["label"] == label else {}
    except Exception:  # torch raises anything for a damaged file; then the training starts over
        return {}
