"""The chip that a family's profile stands for when nothing is said: its ``[default]`` table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flash.errors import ProfileError, did_you_mean

__all__ = ["default_chip"]


def default_chip(
    given: Any, grids: Mapping[str, Sequence[int]], words: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """The ``[default]`` table of a profile; variables with one value need none there.

    Raises ``ProfileError`` for a value that is none of the variable's.
    """
    if not isinstance(given, dict):
        raise ProfileError("[default] must be a table")
    found = {name: int(grid[0]) for name, grid in grids.items() if len(grid) == 1}
    for name, value in given.items():
        if name not in grids:
            raise ProfileError(f"unknown key '{name}' in [default]{did_you_mean(name, grids)}")
        known = words.get(name, ())
        number = known.index(value) if value in known else value
        if type(number) is not int or number not in [int(v) for v in grids[name]]:
            raise ProfileError(f"[default] {name} is {value!r}, none of its values in [variables]")
        found[name] = number
    return found
