"""The metrics by name, and the scores of designs by several of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flash.errors import SpaceError, UsageError
from flash.plugins import Registry

if TYPE_CHECKING:  # the names are known without numpy
    import numpy as np
    from numpy.typing import NDArray

    from flash.metrics.metric import Metric
    from flash.spaces.network import Network
    from flash.spaces.space import SearchSpace
    from flash.spaces.stage_tables import Floats

__all__ = ["METRICS", "network_scores", "own_metric", "scores"]

#: Metrics by the name users give: what a search can maximise or rank by.
METRICS: Registry[Metric] = Registry(
    "flash.metrics",
    "metric",
    {
        "capacity": "flash.metrics.rank:CAPACITY",
        "kept_importance": "flash.metrics.importance:KEPT_IMPORTANCE",
        "nn_degree": "flash.metrics.degree:NN_DEGREE",
        "nn_mass": "flash.metrics.mass:NN_MASS",
        "rank_score": "flash.metrics.rank:RANK_SCORE",
        "sed": "flash.metrics.rank:SED",
        "tg_nas": "flash.metrics.tg_nas:TG_NAS",
    },
)


def own_metric(space: SearchSpace) -> Metric:
    """The metric that a search of ``space`` maximises unless told otherwise.

    Raises ``SpaceError`` where the space's file names one that there is not.
    """
    try:
        return METRICS[space.metric]
    except UsageError as error:
        raise SpaceError(f"space {space.name}: {error}") from None


def scores(
    space: SearchSpace, indices: NDArray[np.int64], names: Sequence[str]
) -> dict[str, Floats]:
    """Scores of designs (indices, shape (designs, variables)) by each metric, shape (designs,).

    What metrics share is computed once. Raises ``UsageError`` for an unknown metric.
    """
    found: dict[str, Floats] = {}
    for name in names:
        if name not in found:
            found |= METRICS[name].of_designs(space, indices)
    return {name: found[name] for name in names}


def network_scores(network: Network, names: Sequence[str]) -> dict[str, float]:
    """Scores of one network by each metric, NaN where it is not defined.

    What metrics share is computed once. Raises ``UsageError`` for an unknown metric.
    """
    found: dict[str, float] = {}
    for name in names:
        if name not in found:
            found |= METRICS[name].of_network(network)
    return {name: found[name] for name in names}
