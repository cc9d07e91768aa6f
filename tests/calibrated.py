"""A calibrated space for tests: accuracies follow a known law, no network is trained."""

import re
from functools import cache

import numpy as np

from flash.accuracy import fit_space, sample_designs
from flash.evaluation import measure
from flash.files.locations import data_file
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


def space_file(folder, *, small=False):
    """The default space's file in another folder, not calibrated; fewer values if small."""
    text = data_file("models", "cifar10-concat").read_text(encoding="utf-8")
    text = text.split("# Accuracy model")[0]
    if small:
        for old, new in {"4": 20, "8": 40, "16": 80, "1": 5, "32": 304}.items():
            text = re.sub(rf"(from = [1-9]\d*, to = \d+, step = ){old} }}", rf"\g<1>{new} }}", text)
        text = re.sub(r"from = 0, to = (\d+), step = \d+", _thirds, text)
    path = folder / "cifar10-concat.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _thirds(match):
    return f"from = 0, to = {match[1]}, step = {int(match[1]) // 2}"


@cache
def calibrated_model(name="cifar10-concat"):
    """The space and its model, fitted to 25 networks."""
    space = load_space(name)
    designs = sample_designs(space, 25, 0)
    return space, fit_space(space, designs, made_up(space, designs), **PROVENANCE)
