"""Workloads as texts, and the choice of those that say the most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.errors import FlashError, InputError, UsageError
from flash.measurements.workloads import STEPS, workload_kind, workload_network
from flash.profile.suites.choice import choose, expected_ms
from flash.profile.suites.pool import KINDS, LARGEST_MACS, SMALLEST_MACS, Candidate, candidates
from flash.spaces.reference import reference_network
from flash.spaces.space import load_space


@pytest.fixture(scope="module")
def pool():
    return candidates()


@pytest.fixture(scope="module")
def chosen(pool):
    """The first 45 of the pool: a shorter choice begins a longer one, as is tested below."""
    return choose(pool, 45)


# MACs by hand: positions x outputs x window x inputs / groups.
@pytest.mark.parametrize(
    ("text", "macs", "layers"),
    [
        ("16x8x8: conv k3 32", 64 * 32 * 9 * 16, 1),
        ("16x8x8: conv k3 s2 g4 32", 16 * 32 * 9 * 4, 1),
        ("16x8x8: conv k1 16 *3", 3 * 64 * 16 * 16, 3),
        ("16x8x8: dw k5", 64 * 16 * 25, 1),
        ("16x8x4: linear 10", 512 * 10, 1),
        ("16x8x8: max k2 s2; gap; linear 10", 16 * 10, 3),
        ("16x8x8: dense k3 8 *2", 64 * 8 * 9 * (16 + 24), 4),
        ("16x8x8: res k3", 64 * 16 * 9 * 16, 2),
        ("16x8x8: mb k3 e4 16", 64 * 64 * (16 + 9 + 16), 4),
        ("16x8x8: mb k3 s2 e4 24", 64 * 64 * 16 + 16 * 64 * (9 + 24), 3),
    ],
)
def test_a_chain_has_the_layers_its_text_says(text, macs, layers):
    network = workload_network(text)
    assert network.macs == macs
    assert len(network.layers) == layers


def test_designs_and_published_networks_are_workloads():
    space = load_space("nasbench201")
    design = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    expected = space.network(space.design(space.family.parse(design)))
    assert workload_network(f"nasbench201: {design}").macs == expected.macs
    assert workload_network("resnet18").params == reference_network("resnet18").params
    kinds = [workload_kind(t) for t in ("1x8x8: gap", f"nasbench201: {design}", "resnet18")]
    assert kinds == ["chain", "nasbench201", "reference"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("16x8x8: cov k3 8", "unknown step 'cov' (did you mean 'conv'?)"),
        ("16x8x8: conv 8", "'conv 8' is no step 'conv kK N [sS] [gG]'"),
        ("16x8x8: conv k3 e2 8", "'e2' says nothing to step 'conv"),
        ("16x8x8: conv k3 8 8", "'8' says nothing to step"),
        ("16x8x8: conv k0 8", "'k0' says nothing to step"),
        ("16x8x8: conv k3 g3 8", "3 groups do not divide 16 and 8 channels"),
        ("16x8x8: max k2 s2 *5", "nothing is left of the map"),
        ("16x8x8: conv k3 8;", "an empty step"),
        ("16x8x8:", "an empty step"),
        ("16x8x8: dw k3 *999; dw k3 *999", "more than 1000 steps"),
        ("resnet19", "did you mean 'resnet18'?"),
        ("nasbench: x", "unknown space 'nasbench'"),
        ("cifar10-add: w=1", "is no design"),
    ],
)
def test_what_is_no_workload_is_refused_in_one_line(text, said):
    with pytest.raises(FlashError) as caught:
        workload_network(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="0123456789x:; kcsgonvdwmaxlier*e", max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_network_or_a_flash_error(text):
    try:
        workload_network(text)
    except FlashError as error:
        assert "\n" not in str(error)


def test_candidates_are_the_same_each_time_and_within_bounds(pool):
    again = candidates()
    assert [c.text for c in pool] == [c.text for c in again]
    assert [c.text for c in candidates(seed=1)] != [c.text for c in again]
    assert {c.kind for c in pool} == set(KINDS)
    assert len({c.text for c in pool}) == len(pool)
    macs = [c.live.macs for c in pool if c.kind != "blocks"]
    assert min(macs) >= SMALLEST_MACS
    assert max(macs) <= LARGEST_MACS


def test_a_candidate_parses_back_to_its_network(pool):
    for candidate in pool[::20]:
        assert workload_network(candidate.text).macs == candidate.network.macs


def test_a_shorter_choice_begins_a_longer_one_and_mixes_the_kinds(pool, chosen):
    long = chosen[:40]
    assert choose(pool, 15) == long[:15]
    assert len({c.text for c in long}) == 40
    for kind, share in KINDS.items():
        assert abs(sum(c.kind == kind for c in long) - 40 * share) <= 1.5
    macs = np.array([c.network.macs for c in long])
    assert macs.min() < 3e6
    assert macs.max() > 3e8


def test_the_first_cells_chosen_tell_apart_what_a_runtime_runs(chosen):
    cells = [c.network for c in chosen if c.kind == "nasbench201"][:3]
    runs = {
        mode: tuple(len(getattr(n, mode)().layers) for n in cells)
        for mode in ("used", "kept", "fed", "live")
    }
    runs["all"] = tuple(len(n.layers) for n in cells)
    # They have convolutions that nobody reads, and operations on zeros.
    assert len(set(runs.values())) == 5


def test_the_chosen_say_more_than_random_ones(pool, chosen):
    """Log determinant of what 20 measurements say under the model that chooses them."""
    from flash.profile.suites import choice

    work = choice.workload([c.live for c in pool], "all")
    of_all = choice._covariance(work, choice._PRIOR)

    def information(some):
        rows = [pool.index(c) for c in some]
        covariance = of_all[np.ix_(rows, rows)]
        return np.linalg.slogdet(np.eye(len(rows)) + covariance / choice._NOISE**2)[1]

    rng = np.random.default_rng(5)
    random = [information([pool[i] for i in rng.permutation(len(pool))[:20]]) for _ in range(20)]
    assert information(chosen[:20]) > max(random)


def test_what_was_chosen_is_not_chosen_for_its_likeness(pool):
    """Of two equal candidates the second says next to nothing."""
    doubled = [replace(c, text=f"{c.text} twice") for c in pool[:30]]
    chosen = choose([*pool[:30], *doubled], 20)
    assert len({c.text.removesuffix(" twice") for c in chosen}) == 20


def test_expected_times_rise_with_the_work():
    small, large = (Candidate.of(text) for text in ("16x8x8: conv k3 16", "16x64x64: conv k3 64"))
    times = expected_ms([small, large])
    assert 0 < times[0] < times[1]


def test_every_step_is_explained():
    from flash.measurements import workloads as language

    assert all(f"``{name}" in (language.__doc__ or "") for name in STEPS)


def test_a_suite_needs_a_workload():
    from flash.profile.suites.suite import build_suite

    for arguments in ({"texts": []}, {"count": 0}, {"texts": ["resnet18"], "batch": 0}):
        with pytest.raises(UsageError):
            build_suite(**arguments)


# ----------------------------------------------------------------------------------- blocks
BLOCKS_OF_EACH = {
    "192x49: attn h3; mlp e4": "transformer",
    "40x64: lstm 32; gru 16; rows 8": "recurrent",
    "16x64: conv1 k3 32 *2": "sequence",
    "3x32x32: conv k4 s4 32; next k7 e4": "mixer",
    "64x64: rows 32; ln; tanh; exp; elu; relu; sigmoid; softmax": "mlp",
    "32x16x16: plain k3 32; silu; spp k5; up k2; bilinear k2; deconv k2 16": "decoder",
    "32x16x16: dw k3; hswish; se r4; shuffle g2; max k2; gelu": "gated",
}


@pytest.mark.parametrize(("text", "kind"), BLOCKS_OF_EACH.items())
def test_blocks_are_counted_as_the_onnx_that_onnxruntime_runs(text, kind):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from flash.backends.onnx.blocks import block_model
    from flash.measurements.workloads import block_chain

    counted = []

    def weight(name, shape, fan_in):
        counted.append(int(np.prod(shape)))
        values = np.random.default_rng(0).normal(0, fan_in**-0.5, shape).astype(np.float32)
        return onnx.numpy_helper.from_array(values, name)

    model = block_model(*block_chain(text), weight)
    session = runtime.InferenceSession(model.SerializeToString())
    (source,) = session.get_inputs()
    (result,) = session.run(
        None, {source.name: np.random.default_rng(0).normal(size=source.shape).astype(np.float32)}
    )
    assert np.isfinite(result).all() and list(result.shape) == session.get_outputs()[0].shape
    network = workload_network(text)
    assert workload_kind(text) == kind
    assert network.params >= sum(counted) > 0


def test_blocks_are_measured_in_fp32_and_for_one_image():
    pytest.importorskip("onnx")
    from flash.profile.suites.suite import build_suite

    with pytest.raises(InputError, match="fp32 and at batch 1"):
        build_suite(["192x49: attn h3"], precision="int8")
    with pytest.raises(UsageError, match="5 heads do not divide 192 features"):
        workload_network("192x49: attn h5")
    with pytest.raises(UsageError, match="a step on maps after one on rows"):
        workload_network("3x8x8: ln; up k2")
    assert not {c.kind for c in candidates(blocks=False)} & {"blocks", "whole"}
