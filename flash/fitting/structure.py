"""What a runtime runs of a network, found from measurements together with how it is fitted.

Three facts of a runtime are seldom told: the channels it computes at once (lanes), which
operations it executes (those nothing reads, too?) and what it merges into one kernel. Where
they are not known (``known_structure``) they are found. None adds a coefficient. Linear fits
are cheap enough to be made for every combination of the last two without each network in turn,
so these two are chosen jointly with the linear candidate, by the error on networks left out;
the structured candidates then take the combination found, or stay with the usual one where it
fits them better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.fitting.selection import Candidate, first_not_beaten, folds_of, log_errors
from flash.fitting.workload import Workload, counted, kernels_run
from flash.spaces.network import Network
from flash.targets.processor.kernels import LANES
from flash.targets.processor.profile import EXECUTES, FUSIONS

__all__ = ["Structure", "known_structure", "structures"]

Floats = NDArray[np.float64]

#: Other lanes, or what was found jointly for structured candidates, must fit better by this
#: factor; so must the execution modes that few runtimes have, and merging nearly so. Chosen on
#: NAS-Bench-201's devices, draws 200 to 279; scripts/validate/fit.py reports 0 to 9.
_CLEARLY = 0.95
_RARE = {"kept": _CLEARLY, "live": _CLEARLY, "fed": _CLEARLY, "graph": 0.98}
#: Parts that networks are left out in: with 25 of them, one by one.
_FOLDS = 25
#: What runtimes that nobody knows may merge, whatever they run ("sum" is one runtime's own), and
#: what goes together only.
_SEARCHED, _PAIRED = ("conv", "graph"), (("all", "eager"),)
#: Most common first: of those that cannot be told apart the first is taken.
_EXECUTES = ("used", *(e for e in EXECUTES if e != "used"))


@dataclass(frozen=True)
class Structure:
    """What a runtime runs of a network: fields of the same names in ``Runtime``."""

    executes: str
    fusion: str
    lanes: int


#: What onnxruntime runs and merges on a CPU for which it lays out activations in blocks, as its
#: own profiles list the kernels (``flash.targets.processor.fusion``).
_BLOCKED = ("fed", "sum")
#: Bits of a number in those blocks, which are as wide as the CPU's vectors.
_BITS = 32


def known_structure(header: Mapping[str, Any]) -> Structure | None:
    """What the runtime that a measurement file's header names is known to run."""
    runtime, device = header.get("runtime", {}), header.get("device", {})
    named = runtime.get("name"), runtime.get("provider"), device.get("arch")
    if named != ("onnxruntime", "CPUExecutionProvider", "x86_64"):
        return None
    bits = device.get("simd_bits")
    lanes = bits // _BITS if isinstance(bits, int) else 0
    if lanes <= LANES[0] or lanes not in LANES or header.get("precision", "fp32") != "fp32":
        return None
    return Structure(*_BLOCKED, lanes)


def structures(
    networks: Sequence[Network],
    latency_ms: Floats,
    tried: Sequence[Candidate],
    element_bytes: int,
    known: Structure | None = None,
    told: tuple[str, str] | None = None,
) -> list[tuple[Structure, Workload]]:
    """For each candidate what the runtime runs, and the networks as it runs them.

    known: all of it. told: what it executes and merges; lanes are still found.
    """
    usual = Structure(*(told or (_EXECUTES[0], FUSIONS[0])), LANES[0])
    first = next(c for c in tried if c.prior is not None)
    linear = [c for c in tried if c.linear is not None]

    def errors(candidate: Candidate, load: Workload) -> Floats:
        return log_errors(load.latency_ms(candidate.fit(load, latency_ms)), latency_ms)

    def least(load: Workload) -> float:
        return min(float(errors(c, load).mean()) for c in (first, *linear))

    load_of = _Loads(networks, element_bytes)
    if known is not None:
        return [(known, load_of(known))] * len(tried)
    best, load = usual, load_of(usual)
    error = least(load)
    for lanes in LANES[1:]:
        other = load_of(replace(usual, lanes=lanes))
        if (found := least(other)) < _CLEARLY * error:
            best, load, error = replace(usual, lanes=lanes), other, found
    options = [(best, load)] if told else load_of.distinct(best)
    if len(options) == 1:
        return [options[0]] * len(tried)
    joint = _jointly(options, latency_ms, linear)
    better = errors(first, joint[1]).mean() < _CLEARLY * errors(first, load).mean()
    structured = joint if better else options[0]
    return [joint if c.linear is not None else structured for c in tried]


class _Loads:
    """Workloads of the same networks under different structures, each network's kernels once."""

    def __init__(self, networks: Sequence[Network], element_bytes: int) -> None:
        self._element_bytes = element_bytes
        self._views = {
            e: [n if e == "all" else getattr(n, e)() for n in networks] for e in _EXECUTES
        }
        self._kernels: dict[tuple[int, str, int], list[tuple[int, ...]]] = {}

    def __call__(self, s: Structure) -> Workload:
        return counted([self._run(n, s) for n in self._views[s.executes]], self._element_bytes)

    def _run(self, view: Network, s: Structure) -> list[tuple[int, ...]]:
        # Views are kept, so no two share an id.
        key = (id(view), s.fusion, s.lanes)
        if key not in self._kernels:
            self._kernels[key] = kernels_run(view, "all", s.fusion, s.lanes)
        return self._kernels[key]

    def distinct(self, usual: Structure) -> list[tuple[Structure, Workload]]:
        """Combinations of what is executed and merged that differ for these networks."""
        found: list[tuple[Structure, Workload]] = []
        for executes, fusion in (*product(self._unlike(), _SEARCHED), *_PAIRED):
            option = replace(usual, executes=executes, fusion=fusion)
            load = self(option)
            if not any(_same(load, known) for _, known in found):
                found.append((option, load))
        return found

    def _unlike(self) -> list[str]:
        """Execution modes; views that leave as many layers of each network are the same."""
        seen: dict[tuple[int, ...], str] = {}
        for executes, views in self._views.items():
            seen.setdefault(tuple(len(n.layers) for n in views), executes)
        return list(seen.values())


def _jointly(
    options: Sequence[tuple[Structure, Workload]],
    latency_ms: Floats,
    linear: Sequence[Candidate],
) -> tuple[Structure, Workload]:
    """The option whose linear fit predicts networks left out best.

    Of the linear candidates the simplest within noise stands for an option; between options,
    which add no coefficient, the least error decides.
    """
    folds = folds_of([str(i) for i in range(len(latency_ms))], most=_FOLDS)
    scores = []
    for structure, load in options:
        predicted = np.stack([c.left_out(load, latency_ms, folds) for c in linear])
        errors = log_errors(predicted, latency_ms)
        rare = _RARE.get(structure.executes, 1.0) * _RARE.get(structure.fusion, 1.0)
        scores.append(float(errors[first_not_beaten(errors)].mean()) / rare)
    return options[int(np.argmin(scores))]


def _same(a: Workload, b: Workload) -> bool:
    pairs = zip((*a.kernels, a.counts), (*b.kernels, b.counts), strict=True)
    return a.counts.shape == b.counts.shape and all(np.array_equal(x, y) for x, y in pairs)
