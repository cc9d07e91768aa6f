"""Problems for the tests of optimizers: a plausible device, and small random tables."""

from __future__ import annotations

import itertools

import numpy as np

from flash.metrics.degree import nn_degree
from flash.spaces.space import load_space
from flash.spaces.stage_tables import SeparableProblem, StageTable, tabulate

COMBINE = {
    "score": "sum",
    "latency_ms": "sum",
    "energy_mj": "sum",
    "weight_kb": "sum",
    "activation_kb": "max",
}


def device_problem(space="cifar10-concat", seed=0):
    """NN-Degree against a made-up device: roofline latency, channels rounded up to its lanes."""
    rng = np.random.default_rng(seed)
    macs_per_s, bytes_per_s = 10 ** rng.uniform(8, 11), 10 ** rng.uniform(8.5, 10.5)
    start_s, power_w = 10 ** rng.uniform(-5.5, -3.5), rng.uniform(1, 5)
    lanes = int(rng.choice([1, 4, 8, 16]))
    j_per_mac, j_per_byte = 10 ** rng.uniform(-12, -10), 10 ** rng.uniform(-11, -9)

    def costs(t):
        padding = 1.0
        for side in ("in_channels", "out_channels"):
            channels = np.maximum(t[side], 1)
            padding = padding * (-(-channels // lanes) * lanes / channels)
        moved = 4.0 * (t.in_elements + t.out_elements)
        seconds = np.maximum(t.macs * padding / macs_per_s, moved / bytes_per_s)
        seconds = (seconds + start_s * t.active).sum(axis=0)
        joules = j_per_mac * t.macs + j_per_byte * (moved + 4.0 * t.params)
        return {
            "latency_ms": seconds * 1e3,
            "energy_mj": (seconds * power_w + joules.sum(axis=0)) * 1e3,
            "weight_kb": t.params.sum(axis=0) * 4e-3,
            "activation_kb": (moved * 1e-3).max(axis=0, initial=0.0),
        }

    return tabulate(load_space(space), costs, lambda t: {"score": nn_degree(t)}, COMBINE)


def random_problem(rng, whole=True):
    """A few stages over a few variables, tables filled at random.

    whole: small whole numbers, so that equal values are common; else floats.
    """
    sizes = tuple(int(n) for n in rng.integers(2, 4, size=rng.integers(2, 6)))
    cuts = sorted({0, len(sizes), *(int(k) for k in rng.integers(0, len(sizes) + 1, size=2))})
    stages = []
    for first, last in itertools.pairwise([*cuts, len(sizes)]):
        owns = tuple(range(first, last))
        reads = tuple(k for k in range(first) if rng.random() < 0.5)
        shape = tuple(sizes[k] for k in (*reads, *owns))
        tables = {
            name: rng.integers(0, 8, shape).astype(float) if whole else rng.random(shape)
            for name in COMBINE
        }
        stages.append(StageTable(f"stage{first}", reads, owns, tables))
    return SeparableProblem(sizes, tuple(stages), COMBINE)


def every_design(problem):
    return np.array(list(itertools.product(*(range(n) for n in problem.sizes))), dtype=np.int64)
