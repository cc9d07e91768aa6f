"""For which spaces a score was shown to rank, and where plain size ranks as well.

What is known is measured by ``scripts/validate/ranking.py`` (``docs/validation/ranking.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.metrics.registry import scores
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats

__all__ = ["SHOWN_TO_RANK", "of_networks", "of_space", "rank_agreement"]

#: Metric -> what was measured of it (Spearman with trained accuracy, eight spaces).
SHOWN_TO_RANK: Final[Mapping[str, str]] = {
    "rank_score": (
        "rank_score was shown to rank cells, plain, residual, dense and mobile networks by trained "
        "accuracy: Spearman .71 to .99 in eight spaces, in none of them below params or MACs"
    ),
    "capacity": (
        "capacity was shown to rank cells, plain, residual, dense and mobile networks by trained "
        "accuracy: Spearman .72 to .97 in eight spaces, in none of them below params or MACs"
    ),
    "sed": (
        "sed was shown to rank where widths are fixed (Spearman .74 to .88 of cells and macro "
        "networks) and misleads where they vary (.67 of a zoo of CIFAR networks, MACs .84)"
    ),
    "nn_degree": (
        "nn_degree was shown to rank MobileNets by width (Spearman .76 to .85, MACs .84 to .95), "
        "not cells, macro networks or zoos (-.6 to .5)"
    ),
}

#: From this rank correlation on, two scores put networks in the same order for all purposes.
_SAME: Final = 0.95
#: Below it, SED orders designs by something else than what they can tell apart.
_MISLEADS: Final = 0.9
#: Designs drawn of a space; networks of a list from which on anything is said of them.
_DRAWN, _FEWEST = 40, 8


def of_space(
    space: SearchSpace, metric: str, known: Callable[[NDArray[np.int64]], Floats] | None = None
) -> list[str]:
    """Sentences on what to believe of ``metric`` in ``space``; none where nothing is known.

    A seeded sample of the space's designs is scored (a quarter of a second at most), by ``known``
    where that tells the metric of designs.
    """
    if metric not in SHOWN_TO_RANK:
        return []
    designs = space.sample(_DRAWN, np.random.default_rng(0))
    table = space.table(designs)
    live = table.live
    sizes = {
        "params": (table.params * live).sum(axis=0).astype(np.float64),
        "MACs": (table.macs * live).sum(axis=0).astype(np.float64),
    }
    if metric == "sed":
        found = scores(space, designs, (metric, "capacity"))
    else:
        found = scores(space, designs, (metric,)) if known is None else {metric: known(designs)}
    lines = [SHOWN_TO_RANK[metric], *_same_as_size(metric, found[metric], sizes, "its designs")]
    if metric == "sed" and rank_agreement(found["sed"], found["capacity"]) < _MISLEADS:
        lines.append(
            f"widths or depths of space {space.name} vary in ways that sed is known to misjudge; "
            "--metric capacity is a sum over stages too"
        )
    return lines


def of_networks(metric: str, values: Floats, sizes: Mapping[str, Floats]) -> list[str]:
    """The same of a list of networks: whether their sizes order them as ``metric`` does.

    values: (networks,).  sizes: name -> (networks,).
    """
    if metric not in SHOWN_TO_RANK or len(values) < _FEWEST:
        return []
    return _same_as_size(metric, values, sizes, f"these {len(values)} networks")


def _same_as_size(metric: str, values: Floats, sizes: Mapping[str, Floats], what: str) -> list[str]:
    agreement = {name: rank_agreement(values, size) for name, size in sizes.items()}
    best = max(agreement, key=agreement.__getitem__)
    if agreement[best] < _SAME:
        return []
    return [
        f"{what} differ mainly in size: {best} rank them as {metric} does "
        f"(Spearman {agreement[best]:.2f})"
    ]


def rank_agreement(x: Floats, y: Floats) -> float:
    """Spearman's rank correlation; 0 where one of them is the same for all."""
    first, second = (_ranks(np.asarray(values)) for values in (x, y))
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale else 0.0


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, equal values their mean."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.asarray(np.cumsum(count) - (count + 1) / 2)
    result: Floats = middle[which.ravel()]
    return result
