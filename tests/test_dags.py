"""Cells that are graphs: published counts of known ones, their strings, searches without tables."""

from __future__ import annotations

import numpy as np
import pytest

from flash.accuracy import sample_designs
from flash.errors import InfeasibleError, SpaceError, UsageError
from flash.evaluation import separable
from flash.optimize import OPTIMIZERS, Limit, objective
from flash.optimize.objectives import values_of
from flash.optimize.pareto import non_dominated
from flash.search import search
from flash.search.budgeted import FunctionEvaluator, spend
from flash.search.loading import load_problem
from flash.spaces import stage_tables
from flash.spaces.family import FAMILIES, InputShape
from flash.spaces.network import GraphEmitter
from flash.spaces.space import load_space
from flash.spaces.stage_tables import tabulate
from flash.targets import load_target
from flash.testing import small_space

#: Genotypes as their authors publish them.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
PC_DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "
    "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
    "('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), "
    "('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"
)
NASNET = (
    "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), "
    "('sep_conv_3x3', 0), ('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), "
    "('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 1)], "
    "normal_concat=[2, 3, 4, 5, 6], reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), "
    "('max_pool_3x3', 1), ('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), "
    "('skip_connect', 3), ('avg_pool_3x3', 2), ('sep_conv_3x3', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[4, 5, 6])"
)
#: The Inception-like cell of NAS-Bench-101's README.
INCEPTION = (
    "ModelSpec(matrix=[[0, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], "
    "[0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1], "
    "[0, 0, 0, 0, 0, 0, 0]], ops=['input', 'conv1x1-bn-relu', 'conv3x3-bn-relu', "
    "'conv3x3-bn-relu', 'conv3x3-bn-relu', 'maxpool3x3', 'output'])"
)


def built(family, text):
    emitter = GraphEmitter()
    return emitter.network(*family.emit(emitter, family.parse(text)))


def darts(cells, channels, concat=1, nodes=4):
    settings = {"nodes": nodes, "cells": cells, "channels": channels, "concat": concat}
    return FAMILIES["darts"](InputShape(3, 32, 32), 10, settings)


# ------------------------------------------------------------------------- published counts


@pytest.mark.parametrize(
    ("space", "text", "millions"),
    [
        ("darts-cifar10", DARTS_V2, 3.3),  # Liu et al. 2019, table 1
        ("darts-imagenet", DARTS_V2, 4.7),  # the same, table 3
        ("darts-cifar10", PC_DARTS, 3.6),  # Xu et al. 2020, table 1
        ("darts-imagenet", PC_DARTS, 5.3),  # the same, table 2
    ],
)
def test_known_cells_have_their_published_parameters(space, text, millions):
    assert round(built(load_space(space).family, text).params / 1e6, 1) == millions


def test_nasnets_cell_lays_its_loose_ends_side_by_side_and_has_3_2_million_parameters():
    # 3.3 M in the DARTS paper's table, with NASNet's own stem and reductions.
    family = darts(20, 33, concat=2, nodes=5)
    assert built(family, NASNET).params == pytest.approx(3.3e6, rel=0.03)
    assert family.describe(family.parse(NASNET)) == NASNET


def test_a_darts_network_has_the_parameters_of_its_modules():
    def separable(c, kernel):
        return 2 * (kernel * kernel * c + c * c + 2 * c)

    def dilated(c, kernel):
        return kernel * kernel * c + c * c + 2 * c

    channels, before, last, reduced, total = 36, 108, 108, False, 3 * 108 * 9 + 2 * 108
    for number in range(20):
        reduces = number in (6, 13)
        channels *= 2 if reduces else 1
        total += (before + last) * channels + 4 * channels  # both inputs, 1x1 and batch norm
        before, last, reduced = last, 4 * channels, reduces
        if not reduces:
            total += 5 * separable(channels, 3) + dilated(channels, 3)
    assert not reduced
    total += last * 10 + 10
    assert built(load_space("darts-cifar10").family, DARTS_V2).params == total == 3_349_342


def test_the_inception_like_cell_of_nasbench101_has_its_published_parameters():
    family = load_space("nasbench101").family
    network = built(family, INCEPTION)
    assert network.params == 2_694_282  # the benchmark's own "trainable_parameters"
    assert family.describe(family.parse(INCEPTION)) == INCEPTION


# ------------------------------------------------------------------------------ what a cell is


def test_dead_ends_and_edges_beyond_the_limit_are_not_built():
    family = load_space("nasbench101").family
    every = {name: (1 << int(name[1:])) - 1 for name in family.variables if name[0] == "p"}
    values = every | {f"o{k}": 0 for k in range(1, 6)}
    matrix = family.matrix(values)
    assert matrix.sum() == 9 and all(matrix[k, k + 1] for k in range(6))
    # Node 2 is read by nobody, node 3 reads nothing: both vanish with their operations.
    dead = {
        "p1": 1,
        "p2": 1,
        "p3": 0,
        "p4": 8,
        "p5": 0,
        "p6": 2,
        **{f"o{k}": 2 for k in range(1, 6)},
    }
    kept = family.canonical(dead)
    assert kept == {**dict.fromkeys(family.variables, 0), "p1": 1, "p6": 2, "o1": 2}


def test_a_cell_without_a_path_is_the_edge_from_input_to_output():
    family = load_space("nasbench101").family
    network = built(
        family,
        "ModelSpec(matrix=[[0, 1, 0], [0, 0, 0], [0, 0, 0]], "
        "ops=['input', 'maxpool3x3', 'output'])",
    )
    assert [x.op for x in network.layers].count("conv") == 1 + 9


def test_channels_are_shared_out_as_the_benchmark_does():
    # 128 channels over three nodes that the output reads: 43, 43, 42; node 1 is as wide as the
    # widest node that reads it.
    family = load_space("nasbench101").family
    rows = np.zeros((7, 7), dtype=int)
    for start, to in [(0, 1), (1, 2), (1, 3), (1, 4), (2, 6), (3, 6), (4, 6)]:
        rows[start, to] = 1
    ops = ["input", *["conv1x1-bn-relu"] * 5, "output"]
    network = built(family, f"ModelSpec(matrix={rows.tolist()}, ops={ops})")
    first = [x.out_channels for x in network.layers if x.cell == 0 and x.op == "conv"]
    assert first == [43, 43, 43, 43, 42]


def test_a_reducing_identity_is_a_convolution_and_a_dilated_kernel_spans_more():
    network = built(load_space("darts-cifar10").family, DARTS_V2)
    dilated = [x for x in network.layers if x.dilation == 2]
    assert {(x.kernel_height, x.pad_height, x.in_height == x.out_height) for x in dilated} == {
        (3, 2, True)
    }
    assert len(dilated) == 18  # one in each normal cell


def test_numpy_onnx_and_torch_compute_the_same_network():
    pytest.importorskip("onnxruntime")
    torch = pytest.importorskip("torch")
    from numpy_networks import compute, trained_looking

    from flash.backends import network_model, random_weights, run_onnx
    from flash.backends.torch.module import torch_network

    family = FAMILIES["darts"](
        InputShape(3, 16, 16), 4, {"nodes": 2, "cells": 3, "channels": 4, "concat": 2}
    )
    text = (
        "Genotype(normal=[('dil_conv_5x5', 0), ('sep_conv_3x3', 1), ('dil_conv_3x3', 2), "
        "('skip_connect', 1)], normal_concat=[3], reduce=[('skip_connect', 0), "
        "('dil_conv_3x3', 1), ('max_pool_3x3', 0), ('avg_pool_3x3', 1)], reduce_concat=[2, 3])"
    )
    network = built(family, text)
    weights = trained_looking(random_weights(network, 0), 1)
    image = np.random.default_rng(2).normal(size=(3, 16, 16)).astype(np.float32)
    want = compute(network, weights, image).ravel()
    found = run_onnx(network_model(network, weights), {"input": image[None]})["output"]
    np.testing.assert_allclose(found.ravel(), want, rtol=1e-3, atol=1e-4)
    module = torch_network(network, weights).eval()
    with torch.no_grad():
        np.testing.assert_allclose(
            module(torch.from_numpy(image[None])).numpy().ravel(), want, rtol=1e-3, atol=1e-4
        )


# ----------------------------------------------------------------------------- bad strings


@pytest.mark.parametrize(
    ("space", "old", "new", "message"),
    [
        ("darts-cifar10", "dil_conv_3x3", "dil_conv_3x4", "did you mean 'dil_conv_3x3'"),
        ("darts-cifar10", "('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)", "reads no earlier node"),
        ("darts-cifar10", ", ('dil_conv_3x3', 2)", "", "7 operations in a cell"),
        ("darts-cifar10", "normal_concat=[2, 3, 4, 5]", "normal_concat=[2, 3]", "side by side"),
        ("darts-cifar10", "normal_concat=[2, 3, 4, 5]", "normal_concat=range(2, 99999999)", "lays"),
        ("darts-cifar10", "Genotype(", "__import__(", "is no genotype"),
        ("nasbench101", "maxpool3x3", "maxpool5x5", "did you mean 'maxpool3x3'"),
        ("nasbench101", "[0, 0, 0, 0, 1, 0, 0]", "[0, 0, 0, 1, 0, 0, 0]", "earlier nodes only"),
        ("nasbench101", "[0, 0, 0, 0, 1, 0, 0], ", "", "must be square"),
        ("nasbench101", "'output'", "'maxpool3x3'", "end with 'output'"),
        ("nasbench101", "[0, 0, 0, 0, 1, 0, 0]", "[0, 0, 0, 0, 2, 0, 0]", "is no cell"),
    ],
)
def test_a_wrong_string_is_named(space, old, new, message):
    text = DARTS_V2 if space == "darts-cifar10" else INCEPTION
    with pytest.raises(SpaceError, match=message):
        load_space(space).family.parse(text.replace(old, new))


# ----------------------------------------------------------------- searches without tables


@pytest.fixture
def few_entries(monkeypatch):
    """No table of more than eight entries is filled: a tiny space does not separate."""
    monkeypatch.setattr(stage_tables, "_MOST_ENTRIES", 8)


def test_a_space_that_does_not_separate_says_so():
    with pytest.raises(UsageError, match="does not separate into stages.*nsga2.*--search NAME"):
        search("rpi4b", "nasbench101")


def test_the_same_figures_come_from_tables_and_from_whole_designs(monkeypatch):
    space, target = small_space("nasbench101"), load_target("rpi4b")
    designs = space.sample(12, np.random.default_rng(0))
    tables = separable(space, target, "nn_degree")
    monkeypatch.setattr(stage_tables, "_MOST_ENTRIES", 8)
    whole = separable(space, target, "nn_degree")
    assert (tables.tabulated, whole.tabulated) == (True, False)
    found, expected = whole.evaluate(designs), tables.evaluate(designs)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12)


def test_nsga2_finds_a_front_without_tables_and_proves_nothing(few_entries, monkeypatch):
    pytest.importorskip("pymoo")
    monkeypatch.setattr("flash.optimize.nsga2._FEW", (12, 4))
    grids = {f"p{k}": range(1 << k) for k in range(1, 5)} | {f"o{k}": range(3) for k in range(1, 4)}
    settings = {"nodes": 5, "stacks": 1, "cells": 1, "channels": 8}
    whole = separable(
        small_space("nasbench101", grids, settings), load_target("rpi4b"), "nn_degree"
    )
    goals = [objective("weight_kb"), objective("latency_ms")]
    found = OPTIMIZERS["nsga2"].optimize(whole, goals, [], 0)
    assert found.evaluations == 48
    np.testing.assert_allclose(values_of(whole, found.indices, goals), found.values)
    assert non_dominated(found.values, [1, 1]).all()
    assert not found.certified and found.gap_percent is None


def test_what_needs_tables_is_refused_before_memory_runs_out():
    with pytest.raises(UsageError, match="space nasbench101 does not separate: a table"):
        tabulate(load_space("nasbench101"), lambda t: {}, None, {})


def test_cells_that_span_a_space_without_tables_are_sampled_for_calibration(monkeypatch):
    monkeypatch.setattr("flash.accuracy.sampling._FEW", (64, 48))
    space = load_space("nasbench101")
    designs = sample_designs(space, 12, 0)
    assert len(np.unique(designs, axis=0)) == 12
    macs = [space.network(design).live().macs for design in designs]
    assert max(macs) > 5 * min(macs)
    with pytest.raises(InfeasibleError, match="0 different networks of at most 10 MACs in space"):
        sample_designs(space, 12, 0, max_macs=10)


def test_a_strategy_trains_cells_of_a_space_without_tables():
    problem = load_problem("rpi4b", None, None, "nasbench101")
    tables = problem.tables("rank_score")
    report = spend(
        problem,
        tables,
        [Limit.on("latency_ms", 400.0)],
        "random",
        lambda budget: FunctionEvaluator(budget, lambda design: float(design.sum())),
        "a function",
        budget=3,
        metric="rank_score",
        metrics=("params",),
        candidates=12,
    )
    assert len(report.outcome.trials) == 3
    assert report.best is not None and report.best.latency_ms.value <= 400.0
    assert report.best.description.startswith("ModelSpec(matrix=")
