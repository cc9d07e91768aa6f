"""NN-Degree and NN-Mass against their closed forms, written out literally."""

from __future__ import annotations

import numpy as np
import pytest

from flash.metrics.degree import nn_degree
from flash.metrics.mass import nn_mass
from flash.spaces.space import load_space
from flash.spaces.table import network_table


def test_nn_degree_of_concat_designs_equals_flashs_closed_form(rng):
    space = load_space("cifar10-concat")
    designs = space.sample(50, rng)
    expected = []
    for row in space.decode(designs):
        g = 0.0
        for w, d, t in row.reshape(3, 3).tolist():
            links = w * sum(min((i - 1) * w, t) for i in range(2, d))
            g += w + links / (w * d)
        expected.append(g)
    assert nn_degree(space.table(designs)) == pytest.approx(expected, rel=1e-12)


def test_nn_degree_of_add_designs_equals_the_closed_form_of_basic_blocks(rng):
    space = load_space("cifar10-add")
    designs = space.sample(50, rng)
    expected = []
    for row in space.decode(designs):
        g = 0.0
        for w, b, t in row.reshape(3, 3).tolist():
            links = w * (b - 1) * min(w, t)
            g += w + links / (w * 2 * b)
        expected.append(g)
    assert nn_degree(space.table(designs)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("w", "d", "t"), [(16, 16, 32), (64, 18, 152), (8, 18, 24)])
def test_nn_degree_is_the_average_degree_of_the_cells_channel_graph(w, d, t):
    space = load_space("cifar10-concat")
    scaled = {"w1": 8, "d1": 3, "t1": 0, "w2": 16, "d2": 3, "t2": 0, "w3": 32, "d3": 3, "t3": 0}
    base = nn_degree(space.table(space.design(scaled)[None]))[0]
    cell = {"w1": w, "d1": d, "t1": t}
    grown = nn_degree(space.table(space.design(scaled | cell)[None]))[0]
    # Count links one by one: node (layer, channel) <- each channel it reads.
    # The first layer counts like the others, whatever the cell before it is.
    links = w * sum(w + min(max(layer - 1, 0) * w, t) for layer in range(d))
    assert grown - (base - 8) == pytest.approx(links / (w * d))


def test_nn_mass_of_concat_equals_the_authors_formula(rng):
    space = load_space("cifar10-concat")
    designs = space.sample(50, rng)
    expected = []
    for row in space.decode(designs):
        mass = 0.0
        for w, d, t in row.reshape(3, 3).tolist():
            actual = sum(min(w * (i - 1), t) for i in range(2, d))
            possible = w * (d - 1) * (d - 2) / 2
            mass += w * d * actual / possible
        expected.append(mass)
    assert nn_mass(space.table(designs)) == pytest.approx(expected)


def test_nn_mass_of_the_published_mobilenet_v2_counts_its_ten_residual_blocks():
    space = load_space("imagenet-mobilenet-v2")
    values = {}
    expected = 0.0
    # (channels, expansion, blocks): every block but the first of a stage has a shortcut.
    table = [(16, 1, 1), (24, 6, 2), (32, 6, 3), (64, 6, 4), (96, 6, 3), (160, 6, 3), (320, 6, 1)]
    for s, (c, e, n) in enumerate(table, start=1):
        values |= {f"width{s}": 100, f"expand{s}": e, f"kernel{s}": 3}
        values |= {f"depth{s}": n, f"skip{s}": 1}
        h = c * e
        expected += (n - 1) * (c + 2 * h) * c / (2 * c + h)
    assert nn_mass(space.table(space.design(values)[None]))[0] == pytest.approx(expected)


def test_nn_mass_of_add_counts_both_layers_of_every_block_with_a_shortcut(rng):
    space = load_space("cifar10-add")
    designs = space.sample(50, rng)
    expected = [
        sum((b - 1) * (w + w) * min(w, t) / w for w, b, t in row.reshape(3, 3).tolist())
        for row in space.decode(designs)
    ]
    assert nn_mass(space.table(designs)) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["nasbench201", "darts-cifar10"])
def test_what_no_output_reads_adds_nothing_to_nn_degree(name):
    """A cell's degree is that of the network without its dead layers; some cells have some."""
    space = load_space(name)
    designs = space.sample(60, np.random.default_rng(0))
    whole = space.table(designs)
    assert (whole.active & ~whole.live).any()
    live = [nn_degree(network_table(space.network(d).live()))[0] for d in designs]
    np.testing.assert_allclose(nn_degree(whole), live, rtol=1e-12)
