"""A larger network is never predicted faster, but for what the models' docstrings say.

Every family on every shipped target: designs beside the same designs with one variable larger.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from flash.spaces.network import GraphEmitter
from flash.spaces.space import load_space
from flash.spaces.table import network_table
from flash.targets import load_hardware
from flash.targets.imc.model import evaluate, prepare
from flash.targets.processor.costs import BYTES, _executed, kernel_ms
from flash.targets.processor.kernel_classes import LANES
from flash.targets.processor.kernels import kernel_of
from flash.targets.processor.profile import load_profile

ROOT = Path(__file__).resolve().parents[1]
#: Spaces of one network family each; the other detectors differ in accuracy alone.
SPACES = (
    "cifar10-add", "cifar10-concat", "cifar10-mobilenet-v2", "imagenet-mobilenet-v2",
    "nasbench-macro", "nasbench201", "detector-coco",
)  # fmt: skip
#: What is no size: blocks of another kind, links or none.
_KINDS = ("style", "skip")
#: Kernels that only move or add what others computed.
_MOVING = frozenset({"slice", "pad", "concat", "add", "copy"})


def _profiles():
    """Every processor, by its default runtime; then the other runtimes."""
    first, others = [], []
    for path in sorted((ROOT / "hw_profiles").glob("*.toml")):
        if 'kind = "processor"' in path.read_text(encoding="utf-8"):
            profile = load_profile(path.stem)
            first.append(path.stem)
            others += [f"{path.stem}:{r}" for r in profile.runtimes if r != profile.default_runtime]
    return first, others


PROFILES, OTHERS = _profiles()


@cache
def _grown(name, designs=24):
    """Tables of designs, and of the same ones with one variable larger."""
    space = load_space(name)
    rng = np.random.default_rng(3)
    small = space.sample(designs, rng)
    large = small.copy()
    sizes = [k for k, v in enumerate(space.variables) if not v.startswith(_KINDS)]
    for row in large:
        free = [k for k in sizes if row[k] + 1 < len(space.grids[k])]
        if free:
            at = rng.choice(free)
            row[at] = rng.integers(row[at] + 1, len(space.grids[at]))
    if name == "nasbench201":  # 0 none, 1 skip, 2 and 3 convolutions, 4 a pool: no order of sizes
        large[:] = np.where((small == 2) | (small == 0), 3, small)
    return space.table(small), space.table(large)


@cache
def _kernels(name, designs, which, executes, fusion, lanes):
    """(kernel, which designs run it, whether it only moves) of a table."""
    layers = _executed(_grown(name, designs)[which], executes, fusion, lanes)
    return [(kernel_of(x, fusion, lanes), np.asarray(runs), x.op in _MOVING) for x, runs in layers]


def _parts(name, designs, which, profile):
    """Milliseconds of every design in kernels that compute, and in those that only move."""
    parts = np.zeros((2, designs))
    for v in profile.runtime.variants:
        for kernel, runs, moves in _kernels(name, designs, which, v.executes, v.fusion, v.lanes):
            ms = kernel_ms(kernel, v.coefficients, BYTES[profile.runtime.precision])
            parts[int(moves)] += ms * v.weight * runs
    return parts


def _ragged(table, lanes):
    """Designs with tensors whose channels do not fill blocks of lanes."""
    channels = np.stack([table["in_channels"], table["out_channels"]])
    return ((channels % lanes != 0) & (channels > LANES[0]) & table.active).any(axis=(0, 1))


def _only_moves_less(space, profile, designs):
    device = load_profile(profile)
    (work, moving), (more_work, more_moving) = (
        _parts(space, designs, which, device) for which in (0, 1)
    )
    lanes = max(variant.lanes for variant in device.runtime.variants)
    faster = more_work < work * (1 - 1e-12)
    if lanes == LANES[0]:
        assert not faster.any()
    else:  # a convolution reorders what does not fill blocks
        assert not (faster & ~_ragged(_grown(space, designs)[0], lanes)).any()
        assert (more_work > 0.9 * work).all()
    total, more = work + moving, more_work + more_moving
    assert (more_moving < moving)[(more < total * (1 - 1e-12)) & ~faster].all()


@pytest.mark.parametrize("space", SPACES)
def test_a_larger_network_saves_only_kernels_that_move(space):
    for profile in PROFILES:
        _only_moves_less(space, profile, 24)


@pytest.mark.slow
@pytest.mark.parametrize("profile", [*PROFILES, *OTHERS])
@pytest.mark.parametrize("space", SPACES)
def test_many_larger_networks_save_only_kernels_that_move(space, profile):
    _only_moves_less(space, profile, 1000)


ARRAYS = ("systolic", "eyeriss-like", "edge-tpu-like")


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("space", SPACES[:-1])  # no array resizes
def test_on_an_array_only_a_skip_that_needs_no_pad_is_faster(space, name):
    small, large = _grown(space)
    target = load_hardware(name).target()
    before, after = (target.costs(t).latency_ms[0] for t in (small, large))
    pads, more_pads = (((t.ops == "pad")[:, None] & t.active).sum(axis=0) for t in (small, large))
    assert (more_pads < pads)[after < before * (1 - 1e-12)].all()


@pytest.mark.parametrize("space", SPACES[:-1])
def test_on_crossbars_only_the_mesh_gets_faster(space):
    small, large = _grown(space)
    target = load_hardware("imc").target()
    chips = [
        evaluate(prepare(table, target.hardware, target.chip, "placed"), "isaac")
        for table in (small, large)
    ]
    computing, more = (chip.compute_ns.sum(axis=0) for chip in chips)
    assert (more >= computing * (1 - 1e-12)).all()


def _deep(layers, width, kernel=3, side=16):
    e = GraphEmitter()
    source = x = e.source(3, side, side)
    for _ in range(layers):
        x = e.conv(x, width, kernel)
    return e.network(source, e.linear(e.global_pool(x), 10))


@pytest.mark.parametrize("target", [*ARRAYS, *PROFILES])
def test_any_chain_that_grows_in_any_way_is_slower(target):
    hardware = load_hardware(target).target()

    def ms(**sizes):
        given = {"layers": 3, "width": 16} | sizes
        return float(hardware.costs(network_table(_deep(**given))).latency_ms[0][0])

    sizes = {"layers": (1, 2, 8), "width": (16, 32, 128), "kernel": (3, 5, 7), "side": (8, 33)}
    for name, values in sizes.items():
        costs = [ms(**{name: value}) for value in values]
        assert all(a <= b * (1 + 1e-12) for a, b in zip(costs, costs[1:], strict=False)), (
            name,
            costs,
        )
