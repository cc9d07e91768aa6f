"""A table of accuracies with a known structure, for the strategies' tests."""

from __future__ import annotations

import numpy as np

from flash.search.budgeted import Candidates, Edges, LayerStatistics, TableEvaluator, all_designs

SIZES = (4, 4, 4, 4, 4)
NAMES = ("wide", "deep", "misleading", "cost")
#: What each value of a variable adds to a design's width and depth.
_WIDTH = np.array([0.0, 1.0, 2.0, 0.5])
_DEPTH = np.array([0.0, 0.3, 1.0, 2.0])


def parts(designs):
    """True width and depth of designs."""
    place = np.arange(1, designs.shape[1] + 1)
    return (_WIDTH[designs] * place).sum(axis=1), _DEPTH[designs].sum(axis=1)


def accuracies(designs):
    """Accuracy: saturating in width and depth, best where both are large and balanced."""
    width, depth = parts(designs)
    return 95 - 40 * np.exp(-(width + 2 * depth) / 12) - 0.05 * np.abs(width - 2 * depth)


def scores(designs):
    """Noisy training-free scores: no single one ranks the best designs well."""
    width, depth = parts(designs)
    noise = np.stack([np.random.default_rng(k).normal(size=4**5) for k in range(3)], axis=1)
    row = np.ravel_multi_index(designs.T, SIZES)
    return np.stack(
        [
            width + 3 * noise[row, 0],
            np.exp(0.5 * (depth + noise[row, 1])),
            noise[row, 2],
            width**2 + depth,
        ],
        axis=1,
    )


def statistics(designs):
    """Each variable is a layer; one statistic tells its width, one its depth, one nothing."""
    place = np.arange(1, designs.shape[1] + 1)
    noise = np.random.default_rng(9).normal(size=(4, 5))[designs, np.arange(5)]
    values = np.stack([_WIDTH[designs] * place, _DEPTH[designs], noise])
    return LayerStatistics(("width", "depth", "noise"), values, np.ones(designs.shape, dtype=bool))


def table(names=NAMES, rows=slice(None)):
    """Candidates over (some of) the table, by the scores named."""
    designs = all_designs(SIZES)[rows]
    columns = [NAMES.index(name) for name in names]
    return Candidates(
        SIZES, designs, names, scores(designs)[:, columns], statistics=statistics, edges=edges()
    )


def edges():
    """Each variable is an edge, 0 without one; MACs grow with width and depth."""

    def without(design):
        fewer = np.repeat(design[None], len(design), axis=0)
        np.fill_diagonal(fewer, 0)
        return fewer[(fewer != design).any(axis=1) & fewer.any(axis=1)]

    return Edges(np.array([3, 2, 3, 2, 3]), without, lambda some: 1e6 * (1 + sum(parts(some))))


def evaluator(budget):
    """Look-ups of all of it."""
    designs = all_designs(SIZES)
    return TableEvaluator(budget, designs, accuracies(designs))
