"""How hard and by which optimizer to search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flash.spaces.stage_tables import Floats

__all__ = ["Effort"]


@dataclass(frozen=True)
class Effort:
    """How to search.

    certify_seconds: time for the certificate where hardware is searched.
    single:          not the front but the design of most score over the product of the costs.
    worth:           what the score counts for there, if not for itself; it never falls.
    """

    optimizer: str
    seed: int
    certify_seconds: float
    single: bool = False
    worth: Callable[[Floats], Floats] | None = None
