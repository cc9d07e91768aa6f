"""Designs of the joint space at their real costs, each network on its own chip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flash.evaluation.designs import Evaluation, evaluate_summed
from flash.evaluation.joint.space import CoSpace
from flash.spaces.stage_tables import SeparableProblem
from flash.targets import Triple

__all__ = ["evaluate_joint"]


def evaluate_joint(
    space: CoSpace, indices: NDArray[np.int64], tables: SeparableProblem | None = None
) -> Evaluation:
    """Everything about designs (indices, shape (designs, variables)), in their order.

    tables: of ``joint_problem``; see ``flash.evaluation.evaluate``.
    """
    sums = {} if tables is None else tables.evaluate(indices)
    chips, networks = space.split(indices)
    order = np.argsort(chips, kind="stable")
    targets = {int(chip): space.family.target(int(chip)) for chip in np.unique(chips)}
    parts = [
        evaluate_summed(
            space.network,
            target,
            networks[chips == chip],
            {name: values[chips == chip] for name, values in sums.items()},
        )
        for chip, target in targets.items()
    ]
    back = np.empty_like(order)
    back[order] = np.arange(len(order))

    def plain(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(part, name) for part in parts])[back]

    def triple(name: str) -> Triple:
        columns = [[getattr(part, name)[end] for part in parts] for end in range(3)]
        low, middle, high = (np.concatenate(column)[back] for column in columns)
        return low, middle, high

    details = {
        name: np.concatenate([part.details[name] for part in parts])[back]
        for name in parts[0].details
    }
    return Evaluation(
        plain("nn_degree"),
        plain("nn_mass"),
        plain("params"),
        plain("macs"),
        plain("weight_kb"),
        plain("activation_kb"),
        latency_ms=triple("latency_ms"),
        energy_mj=triple("energy_mj"),
        extrapolated=plain("extrapolated").astype(np.bool_),
        area_mm2=None if parts[0].area_mm2 is None else triple("area_mm2"),
        details=details,
        sums=sums,
    )
