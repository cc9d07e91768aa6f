"""The default ranking on networks that nobody chose it on: orders of good sense, any way to write.

No accuracies are used here; ``scripts/validate/ranking.py`` has those.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from built_networks import Files, Graphs, bench101, chain, darts, mnasnet  # noqa: E402

from flash.metrics import evidence, layer_entropies  # noqa: E402
from flash.metrics.sed import score_network  # noqa: E402
from flash.spaces.space import load_space  # noqa: E402

KINDS = {
    "darts": (darts, {}),
    "darts of pools": (darts, {"op": "max"}),
    "nas-bench-101": (bench101, {}),
    "nas-bench-101, branches": (
        bench101,
        {"edges": {(0, 1), (1, 2), (0, 2), (2, 3), (1, 4), (3, 4), (0, 4)}},
    ),
    "mnasnet": (mnasnet, {}),
    "residual": (chain, {}),
    "residual, activation first": (chain, {"pre": True}),
    "plain": (chain, {"shortcuts": False}),
}


def score(make, **choices):
    return score_network(make(Graphs(), **choices)).rank_score


@pytest.mark.parametrize("name", KINDS)
def test_the_score_does_not_depend_on_how_a_network_is_written(name):
    make, choices = KINDS[name]
    built = score_network(make(Graphs(), **choices))
    for writer in (Files(), Files(pieces=True)):
        read = score_network(make(writer, **choices))
        for part in ("sed", "capacity", "isometry", "thinness", "unbypassed_depth", "rank_score"):
            assert getattr(read, part) == pytest.approx(getattr(built, part), rel=1e-9), part
    assert 0 < built.rank_score < math.inf


@pytest.mark.parametrize("make", [darts, bench101, mnasnet, chain])
def test_wider_is_above_narrower(make):
    if make is mnasnet:
        scores = [score(make, width=width) for width in (0.5, 1.0, 2.0)]
    else:
        scores = [score(make, channels=channels) for channels in (8, 16, 32, 64)]
    assert scores == sorted(scores)


def test_deeper_with_identity_is_above_shallower_and_above_deeper_without():
    for pre in (False, True):
        deep = [score(chain, blocks=n, pre=pre) for n in (3, 5, 9, 18)]
        assert deep == sorted(deep)
        plain = [score(chain, blocks=n, shortcuts=False, pre=pre) for n in (3, 5, 9, 18)]
        assert all(a > b for a, b in zip(deep, plain, strict=True))
        assert plain == sorted(plain, reverse=True)
    assert score(mnasnet, depth=3) > score(mnasnet, depth=1)
    assert score(mnasnet, depth=3) > score(mnasnet, depth=3, residual=False)
    assert score(darts, cells=14) > score(darts, cells=8)
    shallow = score(bench101, cells=1)
    assert score(bench101, cells=3) > shallow


def test_convolution_everywhere_is_above_pooling_and_skips_everywhere():
    assert score(darts, op="sep") > max(score(darts, op=op) for op in ("max", "avg", "skip"))
    scores = [score(bench101, ops=(op,) * 3) for op in ("conv3", "conv1")]
    mixed = [score(bench101, ops=("conv3", op, "conv3")) for op in ("conv3", "conv1", "pool")]
    assert scores == sorted(scores, reverse=True)
    assert mixed == sorted(mixed, reverse=True)
    pools = score(bench101, ops=("conv1", "pool", "pool"))
    assert pools < scores[1]


def test_larger_images_and_kernels_rank_higher():
    assert score(mnasnet, side=96) > score(mnasnet, side=64)
    assert score(mnasnet, kernel=5) > score(mnasnet, kernel=3)


def test_a_gate_never_lowers_the_score():
    assert score(mnasnet, gates=True) > score(mnasnet, gates=False)


def test_isomorphic_cells_score_the_same():
    edges = {(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)}
    swapped = score(bench101, ops=("conv1", "conv3", "conv3"), edges=edges)
    assert score(bench101, ops=("conv3", "conv1", "conv3"), edges=edges) == pytest.approx(swapped)


# -------------------------------------------------------------------- layer by layer, and belief


def test_layers_that_pool_lose_entropy_and_capacity_adds_up():
    network = bench101(Graphs(), ops=("conv3", "pool", "conv3"))
    rows = layer_entropies(network)
    assert sum(row.capacity for row in rows) == pytest.approx(1)
    pools = [row.lost for row in rows if row.op == "max_pool"]
    convs = [row.lost for row in rows if row.op == "conv"]
    assert sum(lost > 0.05 for lost in pools) == 9  # those in cells; bare reductions begin anew
    assert max(convs) < 0.05
    assert all(0 < row.entropy <= 1 for row in rows)


def test_a_score_says_where_it_was_shown_to_rank_and_where_size_ranks_as_well():
    assert "eight spaces" in evidence.of_space(load_space("cifar10-add"), "capacity")[0]
    assert not evidence.of_space(load_space("nasbench201"), "rank_score")[1:]
    assert "misleads" in evidence.of_space(load_space("nasbench201"), "sed")[0]
    assert evidence.of_space(load_space("nasbench201"), "nn_mass") == []
    sizes = np.arange(1.0, 13.0)
    (line,) = evidence.of_networks("rank_score", sizes**2, {"params": sizes, "MACs": sizes[::-1]})
    assert line == (
        "these 12 networks differ mainly in size: params rank them as rank_score does "
        "(Spearman 1.00)"
    )
    assert evidence.of_networks("rank_score", sizes[:5], {"params": sizes[:5]}) == []


def test_sed_is_called_misleading_where_widths_vary():
    lines = evidence.of_space(load_space("cifar10-mobilenet-v2"), "sed")
    assert any("known to misjudge" in line for line in lines)


def test_a_file_shows_its_layers_without_a_target(tmp_path):
    from flash.estimate import estimate
    from flash.estimate.pricing import Model

    network = chain(Graphs())
    (row,) = estimate([Model("residual", network)], layers=True)
    assert {"layer", "op", "entropy", "entropy_lost", "capacity_share"} == set(row["layers"][0])
    (priced,) = estimate([Model("residual", network)], layers=True, target="rpi4b")
    known = [layer for layer in priced["layers"] if layer["entropy"] is not None]
    assert len(known) >= 18 and all("latency_ms" in layer for layer in known)
