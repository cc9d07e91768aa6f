"""A calibrated space for tests: accuracies follow a known law, no network is trained."""

from functools import cache

import numpy as np

from flash.accuracy import fit_space, sample_designs
from flash.evaluation import measure
from flash.spaces.space import load_space

PROVENANCE = {
    "data": "a made-up law",
    "recipe": "none",
    "epochs": 1,
    "seeds": [0],
    "hardware": "none",
    "date": "2026-11-22",
}


def made_up(space, designs, noise=0.3, seed=0):
    """Accuracies in per cent that rise with NN-Degree and fall with nothing."""
    degree = measure(space, designs).nn_degree
    law = 95 - 35 * np.exp(-np.log(degree / 40) / 1.2)
    return law + noise * np.random.default_rng(seed).normal(size=len(designs))


@cache
def calibrated_model(name="cifar10-concat"):
    """The space and its model, fitted to 25 networks."""
    space = load_space(name)
    designs = sample_designs(space, 25, 0)
    return space, fit_space(space, designs, made_up(space, designs), **PROVENANCE)
