"""What every optimizer returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.optimize.objectives import Objective
from flash.spaces.stage_tables import Floats

__all__ = ["OptimizerResult"]


@dataclass(frozen=True)
class OptimizerResult:
    """Designs an optimizer found, none dominating another; best first for one objective.

    name:        the optimizer.
    objectives:  what ``values`` holds, column by column.
    indices:     the designs, shape (k, variables), indices into the variables' grids.
    values:      their objectives, shape (k, objectives), in the objectives' units.
    evaluations: designs (for the exact optimizer: partial designs) it looked at.
    seconds:     wall-clock time it took.
    gap_percent: how far from the exact optimum, once certified; see ``flash.optimize.certify``.
    certified:   the exact optimum is known, so the gap is a fact and no estimate.
    message:     what it did, in one line.
    bound:       objectives that no design beats which was not found; None where none is known.
    """

    name: str
    objectives: tuple[Objective, ...]
    indices: NDArray[np.int64]
    values: Floats
    evaluations: int
    seconds: float
    gap_percent: float | None = None
    certified: bool = False
    message: str = ""
    bound: Floats | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def signs(self) -> tuple[float, ...]:
        """+1 for each objective to minimise, -1 for each to maximise."""
        return tuple(o.sign for o in self.objectives)

    def __str__(self) -> str:
        gap = "unknown" if self.gap_percent is None else f"{self.gap_percent:.3g} %"
        if self.certified and self.gap_percent is not None:
            gap += " (certified)"
        names = ", ".join(f"{o.name} ({o.sense})" for o in self.objectives)
        lines = [
            f"{self.name}: {len(self)} designs over {names}",
            f"  {self.evaluations} evaluations, {self.seconds:.3f} s, gap {gap}",
        ]
        for column, of in enumerate(self.objectives):
            if len(self):
                held = self.values[:, column]
                lines.append(f"  {of.name}: {held.min():.6g} to {held.max():.6g}")
        if self.message:
            lines.append(f"  {self.message}")
        return "\n".join(lines)
