"""Which designs are trained for an accuracy model: different, seeded, and spanning the space."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.accuracy.features import size_problem
from flash.accuracy.sampling import sample_designs, split_designs
from flash.errors import InfeasibleError, UsageError
from flash.evaluation import measure
from flash.optimize import exact_front, objective
from flash.spaces.space import load_space
from flash.training.campaign import read_designs


def _layers(space, designs):
    """Convolutions of each design, counted on its graph."""
    networks = [space.network(design) for design in designs]
    return np.array([sum(x.op == "conv" for x in n.layers) for n in networks])


def test_designs_are_different_networks_inside_the_space(space):
    designs = sample_designs(space, 40, seed=3)
    values = space.decode(designs)
    assert designs.shape == (40, len(space.variables))
    assert (space.encode(values) == designs).all()
    named = {name: values[:, k] for k, name in enumerate(space.variables)}
    canonical = np.stack(list(space.family.canonical(named).values()), axis=1)
    assert len(np.unique(canonical, axis=0)) == 40


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1 << 32), n=st.integers(1, 30), more=st.integers(0, 30))
def test_a_longer_sample_begins_with_the_shorter_one(seed, n, more):
    space = load_space("nasbench-macro")
    longer = sample_designs(space, n + more, seed)
    assert (longer[:n] == sample_designs(space, n, seed)).all()


def test_other_seeds_give_other_designs():
    space = load_space("cifar10-concat")
    first, second = (sample_designs(space, 25, seed) for seed in (0, 1))
    assert len(np.unique(np.concatenate([first, second]), axis=0)) > 45


@pytest.mark.parametrize("name", ["cifar10-concat", "cifar10-add", "cifar10-mobilenet-v2"])
def test_a_sample_spans_size_and_at_equal_size_degree_and_depth(name):
    space = load_space(name)
    designs = sample_designs(space, 40, seed=0, max_macs=60e6)
    measured = measure(space, designs)
    size, degree = np.log(measured.macs), np.log(measured.nn_degree)
    # From about the smallest there is to the largest allowed, every part of the range alike.
    counts, _ = np.histogram(size, bins=5)
    assert counts.min() >= 6 and np.exp(size.max()) > 50e6
    assert np.exp(size.min()) < 1.5 * measure(space, _smallest(space)).macs[0]
    # Neighbours in size differ in shape.
    order = np.argsort(size)
    depth = np.log(_layers(space, designs))
    for values, factor in ((degree, 1.05), (depth, 1.1)):
        assert np.median(np.abs(np.diff(values[order]))) > np.log(factor)


def _smallest(space):
    front = exact_front(size_problem(space), [objective("macs")], [])
    return front.indices[:1]


def test_every_beginning_of_a_sample_is_spread_over_sizes():
    space = load_space("cifar10-concat")
    macs = measure(space, sample_designs(space, 28, seed=0, max_macs=60e6)).macs
    for n in (6, 9, 14, 20):
        rank = np.sort(np.log(macs[:n] / macs.min()) / np.log(macs.max() / macs.min()))
        assert np.diff([0, *rank, 1]).max() < 0.4


@pytest.mark.parametrize(("name", "depth", "layers"), [("cifar10-concat", "d", 1),
                                                       ("cifar10-add", "b", 2)])  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_deep_cells_without_skips_are_in_two_designs_at_most(name, depth, layers, seed):
    space = load_space(name)
    values = space.decode(sample_designs(space, 40, seed))
    named = dict(zip(space.variables, values.T, strict=True))
    cells = [(named[f"t{c}"] == 0) & (layers * named[f"{depth}{c}"] > 8) for c in (1, 2, 3)]
    assert np.any(cells, axis=0).sum() <= 2


def test_fit_and_held_out_designs_are_apart_and_of_one_law():
    space = load_space("cifar10-add")
    fit, held = split_designs(space, 25, 15, seed=4)
    assert len(np.unique(np.concatenate([fit, held]), axis=0)) == 40
    a, b = (np.log(measure(space, part).nn_degree) for part in (fit, held))
    assert abs(a.mean() - b.mean()) < 0.5 * np.concatenate([a, b]).std()


def test_no_network_is_larger_than_asked_for():
    space = load_space("cifar10-concat")
    designs = sample_designs(space, 30, seed=0, max_macs=20e6)
    assert measure(space, designs).macs.max() <= 20e6


def test_too_few_small_networks_are_an_error_with_the_smallest():
    with pytest.raises(InfeasibleError, match=r"at most 1e\+06 MACs.*smallest has 5.75"):
        sample_designs(load_space("cifar10-concat"), 5, seed=0, max_macs=1e6)


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (5, -1)])
def test_impossible_requests_are_refused(n, seed):
    with pytest.raises(UsageError, match="expected 1 or more designs"):
        sample_designs(load_space("cifar10-concat"), n, seed)


@pytest.mark.parametrize("name", ["cifar10-concat", "cifar10-add", "cifar10-mobilenet-v2"])
def test_lists_of_designs_to_train_are_of_the_space_and_apart(name):
    space = load_space(name)
    folder = Path(__file__).parents[1] / "models" / "calibration" / "designs"
    lists = {
        part: read_designs(folder / f"{name}-{part}.txt", space)
        for part in ("fit", "fit-fronts", "held-out", "anchors")
    }
    assert set(lists["fit"].values()) == {"fit"} and len(lists["fit"]) >= 24
    assert set(lists["held-out"].values()) == {"held_out"} and len(lists["held-out"]) == 12
    fitted, held_out = (
        [_canonical(space, text) for text in part]
        for part in ([*lists["fit"], *lists["fit-fronts"], *lists["anchors"]], lists["held-out"])
    )
    assert not set(fitted) & set(held_out) and len(set(held_out)) == 12
    designs = [space.design(space.family.parse(text)) for text in lists["held-out"]]
    macs = measure(space, np.array(designs)).macs
    assert 2e6 <= macs.min() < 15e6 and 40e6 < macs.max() <= 60e6


def _canonical(space, text):
    """Values that are equal for equal networks."""
    values = space.decode(space.design(space.family.parse(text))[None])
    named = {name: values[:, k] for k, name in enumerate(space.variables)}
    return tuple(int(value[0]) for value in space.family.canonical(named).values())
