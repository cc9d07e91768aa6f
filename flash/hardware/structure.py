"""What a runtime runs of a network, found from measurements together with how it is fitted.

Three facts of a runtime are not told by anybody: the channels it computes at once (lanes),
which operations it executes (those nothing reads, too?) and what it merges into one kernel.
None adds a coefficient. Linear fits are cheap enough to be made for every combination of the
last two without each network in turn, so these two are chosen jointly with the linear
candidate, by the error on the network left out; the structured candidates then take the
combination found, or stay with the usual one where it fits them better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.hardware.kernels import LANES
from flash.hardware.profile import EXECUTES, FUSIONS
from flash.hardware.selection import Candidate, first_not_beaten, log_errors
from flash.hardware.workload import Workload, workload
from flash.spaces.network import Network

__all__ = ["Structure", "structures"]

Floats = NDArray[np.float64]

#: Other lanes, or another combination for structured candidates, must fit better by this
#: factor. Chosen on NAS-Bench-201's devices, on other draws than those reported.
_CLEARLY = 0.95
#: Most common first: of those that cannot be told apart the first is taken.
_EXECUTES = ("used", *(e for e in EXECUTES if e != "used"))


@dataclass(frozen=True)
class Structure:
    """What a runtime runs of a network: fields of the same names in ``Runtime``."""

    executes: str
    fusion: str
    lanes: int


def structures(
    networks: Sequence[Network],
    latency_ms: Floats,
    tried: Sequence[Candidate],
    element_bytes: int,
) -> list[tuple[Structure, Workload]]:
    """For each candidate what the runtime runs, and the networks as it runs them."""
    usual = Structure(_EXECUTES[0], FUSIONS[0], LANES[0])
    first = next(c for c in tried if c.prior is not None)
    linear = [c for c in tried if c.linear is not None]

    def load_of(s: Structure) -> Workload:
        return workload(networks, s.executes, element_bytes, s.fusion, s.lanes)

    def fitted(candidate: Candidate, load: Workload) -> float:
        predicted = load.latency_ms(candidate.fit(load, latency_ms))
        return float(log_errors(predicted, latency_ms).mean())

    best, load = usual, load_of(usual)
    error = min(fitted(c, load) for c in (first, *linear))
    for lanes in LANES[1:]:
        other = load_of(replace(usual, lanes=lanes))
        found = min(fitted(c, other) for c in (first, *linear))
        if found < _CLEARLY * error:
            best, load, error = replace(usual, lanes=lanes), other, found
    options = _distinct(networks, best, load, load_of)
    if len(options) == 1:
        return [options[0]] * len(tried)
    joint = options[_jointly([o for _, o in options], latency_ms, linear)]
    usually = fitted(first, load)
    structured = joint if fitted(first, joint[1]) < _CLEARLY * usually else options[0]
    return [joint if c.linear is not None else structured for c in tried]


def _distinct(
    networks: Sequence[Network],
    usual: Structure,
    load: Workload,
    load_of: Callable[[Structure], Workload],
) -> list[tuple[Structure, Workload]]:
    """Combinations of what is executed and merged that differ for these networks."""
    found = [(usual, load)]
    seen = {_sizes(networks, usual.executes)}
    views = [usual.executes]
    for executes in _EXECUTES[1:]:
        sizes = _sizes(networks, executes)
        if sizes not in seen:
            seen.add(sizes)
            views.append(executes)
    for executes in views:
        for fusion in FUSIONS:
            option = replace(usual, executes=executes, fusion=fusion)
            other = load_of(option)
            if not any(_same(other, known) for _, known in found):
                found.append((option, other))
    return found


def _sizes(networks: Sequence[Network], executes: str) -> tuple[int, ...]:
    """Layers left of each network: views that leave as many of each are the same."""
    if executes == "all":
        return tuple(len(n.layers) for n in networks)
    return tuple(len(getattr(n, executes)().layers) for n in networks)


def _jointly(loads: Sequence[Workload], latency_ms: Floats, linear: Sequence[Candidate]) -> int:
    """The option whose best linear fit predicts networks left out best."""
    each = [np.array([i]) for i in range(len(latency_ms))]
    predicted = [c.left_out(load, latency_ms, each) for load in loads for c in linear]
    return first_not_beaten(log_errors(np.stack(predicted), latency_ms)) // len(linear)


def _same(a: Workload, b: Workload) -> bool:
    pairs = zip((*a.kernels, a.counts), (*b.kernels, b.counts), strict=True)
    return a.counts.shape == b.counts.shape and all(np.array_equal(x, y) for x, y in pairs)
