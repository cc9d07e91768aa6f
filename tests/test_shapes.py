"""Distinct layers of many designs: every size a cost depends on belongs to its own shape."""

from collections import Counter

import numpy as np

from flash.spaces.space import load_space
from flash.targets.shapes import SIZES, distinct_layers


def test_each_shape_keeps_its_own_padding_and_counts_are_those_of_the_designs():
    space = load_space("imagenet-mobilenet-v2")  # kernels 1, 3 and 5 in one stage
    designs = space.sample(6, np.random.default_rng(0))
    table = space.table(designs)
    layers, counts = distinct_layers(table, table.active)
    shapes = [
        (layer.op, *(int(np.broadcast_to(getattr(layer, name), size)[k]) for name in SIZES))
        for layer in layers
        for size in [len(np.atleast_1d(layer.out_channels))]
        for k in range(size)
    ]
    pads = {shape[1 + SIZES.index("pad_height")] for shape in shapes if shape[0] == "conv"}
    assert {0, 1, 2} <= pads
    for row, design in enumerate(designs):
        own = Counter(
            (layer.op, *(int(getattr(layer, name)) for name in SIZES))
            for layer in space.network(design).layers
        )
        found = Counter()
        for shape, count in zip(shapes, counts[[row]].toarray()[0], strict=True):
            found[shape] += int(count)
        assert +found == own
