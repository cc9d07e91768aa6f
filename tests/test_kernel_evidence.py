"""Kernels measured alone: what a network made of such kernels is known by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flash.errors import ProfileError
from flash.spaces.network import GraphEmitter, Network
from flash.targets.processor.costs import network_costs, network_features
from flash.targets.processor.intervals import latency_interval
from flash.targets.processor.kernel_classes import Kernel
from flash.targets.processor.kernel_evidence import like_measured
from flash.targets.processor.profile import Profile, load_profile, parse_profile
from flash.targets.processor.profile_file import profile_text

RPI3 = load_profile("rpi3b", "tvm")
EVIDENCE = RPI3.runtime.kernels
assert EVIDENCE is not None


def plain(width: int) -> Network:
    """A small CNN of one width: far smaller than any network measured whole."""
    e = GraphEmitter()
    source = x = e.source(3, 32, 32)
    for _ in range(6):
        x = e.conv(x, width)
    return e.network(source, e.linear(e.global_pool(x), 10))


def interval(network: Network, profile: Profile = RPI3) -> tuple[float, bool]:
    """high / low, and whether it is marked as outside."""
    latency = np.array([network_costs(network, profile)["latency_ms"]])
    low, high, outside = latency_interval(latency, network_features(network, profile), profile)
    return float(high[0] / low[0]), bool(outside[0])


def test_kernels_are_like_those_measured_one_by_one_as_all_at_once() -> None:
    rng = np.random.default_rng(0)
    kinds, sizes = rng.integers(0, 7, 200), np.exp(rng.uniform(0, 12, (3, 200))).astype(int)
    zero = np.zeros(200, dtype=int)
    together = like_measured(
        Kernel(kinds, sizes[0], sizes[1], sizes[2], zero, zero, zero), EVIDENCE
    )
    for n in range(200):
        own = Kernel(int(kinds[n]), *(int(s[n]) for s in sizes), 0, 0, 0)
        assert like_measured(own, EVIDENCE) == together[n]
    assert 0 < together.mean() < 1
    # Elementwise kernels were never timed alone.
    assert not together[kinds == 6].any()


def test_a_small_network_of_measured_kernels_is_inside_and_thin_layers_are_not() -> None:
    ratio, outside = interval(plain(32))
    assert (ratio, outside) == (
        pytest.approx(RPI3.runtime.interval.high / RPI3.runtime.interval.low),
        False,
    )
    thin_ratio, thin_outside = interval(plain(8))
    assert thin_outside
    assert thin_ratio > 2 * ratio


def test_without_kernels_the_same_network_is_outside() -> None:
    runtime = replace(RPI3.runtime, kernels=None)
    without = replace(RPI3, runtimes={"tvm": runtime})
    assert interval(plain(32), without)[1]
    assert interval(plain(32), without)[0] > 2 * interval(plain(32))[0]


def test_evidence_survives_the_profile_file_and_is_checked() -> None:
    text = profile_text(RPI3)
    assert parse_profile(text, Path("board.toml")) == RPI3
    with pytest.raises(ProfileError, match="convolution"):
        parse_profile(text.replace("depthwise = { reduction", "convolution = { reduction"),
                      Path("board.toml"))  # fmt: skip
