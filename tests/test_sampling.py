"""Which designs are trained for an accuracy model: different, seeded, and spanning the space."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.accuracy.sampling import sample_designs, split_designs
from flash.errors import InfeasibleError, UsageError
from flash.evaluation import measure
from flash.spaces.space import load_space


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
def test_a_sample_spans_degree_and_depth_at_equal_degree(name):
    space = load_space(name)
    designs = sample_designs(space, 40, seed=0)
    degree = np.log(measure(space, designs).nn_degree)
    drawn = np.log(measure(space, space.sample(2000, np.random.default_rng(0))).nn_degree)
    # Wider than 2,000 uniform draws, and no quarter of the range left empty.
    assert np.ptp(degree) > np.ptp(drawn)
    counts, _ = np.histogram(degree, bins=4)
    assert counts.min() >= 5
    # Neighbours in NN-Degree differ in depth by a factor, not by a layer.
    depth = np.log(_layers(space, designs))[np.argsort(degree)]
    assert np.median(np.abs(np.diff(depth))) > np.log(1.25)


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
