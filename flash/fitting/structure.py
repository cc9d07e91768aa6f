"""What a runtime may run of a network: its structure, told, known or found from measurements.

Three facts of a runtime are seldom told: the channels it computes at once (lanes), which
operations it executes (those nothing reads, too?) and what it merges into one kernel. Where they
are not known (``known_structure``), every combination is an option, and how well each predicts
networks left out of its fit decides how much it counts (``flash.fitting.averaging``). No option
adds a coefficient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from flash.fitting.workload import Workload, counted, kernels_run
from flash.spaces.network import Network
from flash.targets.processor.kernel_classes import LANES
from flash.targets.processor.profile import EXECUTES

__all__ = ["Option", "Options", "Structure", "known_structure"]

#: What runtimes that nobody knows may merge, whatever they run ("sum" is one runtime's own).
_SEARCHED = ("conv", "graph")
#: What goes together only: a framework that computes every operation merges none.
_PAIRED = (("all", "eager"),)
#: Most common first: where networks differ in no mode, the first is taken.
_EXECUTES = ("used", *(e for e in EXECUTES if e != "used"))
#: Log weight, before anything is measured, of a runtime that computes more than four channels at
#: once: one in twelve (ours). Networks of one width seldom tell lanes apart, and without evidence
#: for more the weight is too small to be kept.
_WIDE_LANES = -2.5
#: The same of execution modes that few runtimes have: one in ten (ours). Of 18 devices of
#: NAS-Bench-201 none has them; onnxruntime on x86 has "fed", and is known by its name.
_RARE = {"live": -2.3, "fed": -2.3}
#: Bits of a number in the blocks in which onnxruntime lays out activations.
_BITS = 32


@dataclass(frozen=True)
class Structure:
    """What a runtime runs of a network: fields of the same names in ``Runtime``."""

    executes: str
    fusion: str
    lanes: int


@dataclass(frozen=True)
class Option:
    """A structure, the networks' kernels under it, and its log weight before measurements.

    Options that these networks cannot tell apart share one ``load``.
    """

    structure: Structure
    load: Workload
    log_prior: float = 0.0


#: What onnxruntime runs and merges on a CPU for which it lays out activations in blocks, as its
#: own profiles list the kernels (``flash.targets.processor.fusion``).
_BLOCKED = ("fed", "blocks")
#: The same where it does not: networks in integers, whose channels lie last.
_PLAIN = ("fed", "ort")


def known_structure(header: Mapping[str, Any]) -> Structure | None:
    """What the runtime that a measurement file's header names is known to run."""
    runtime, device = header.get("runtime", {}), header.get("device", {})
    named = runtime.get("name"), runtime.get("provider"), device.get("arch")
    if named[:2] != ("onnxruntime", "CPUExecutionProvider"):
        return None
    bits = device.get("simd_bits")
    lanes = bits // _BITS if isinstance(bits, int) and named[2] == "x86_64" else 0
    if "int8" in str(header.get("precision")):
        # Vectors of a lane's width more or less: suites of two machines, left out, are predicted
        # better with them than with four.
        return Structure(*_PLAIN, lanes if lanes in LANES else LANES[0])
    if lanes <= LANES[0] or lanes not in LANES or header.get("precision", "fp32") != "fp32":
        return None
    return Structure(*_BLOCKED, lanes)


class Options:
    """The structures to weigh for some networks.

    known: all of the structure. told: what the runtime executes and merges; lanes are still open.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        element_bytes: int,
        known: Structure | None = None,
        told: tuple[str, str] | None = None,
    ) -> None:
        self._load_of = _Loads(networks, element_bytes)
        self._known = known is not None
        #: With four lanes, but where it is known.
        self.first = (
            [Option(known, self._load_of(known))]
            if known is not None
            else [Option(s, x, _RARE.get(s.executes, 0.0)) for s, x in self._load_of.all(told)]
        )

    def wider(self, structure: Structure) -> list[Option]:
        """The same structure with more lanes; nothing where they are known."""
        if self._known:
            return []
        wide = [replace(structure, lanes=lanes) for lanes in LANES[1:]]
        before = _RARE.get(structure.executes, 0.0) + _WIDE_LANES
        return [Option(s, self._load_of(s), before) for s in wide]


class _Loads:
    """Workloads of the same networks under different structures, each network's kernels once."""

    def __init__(self, networks: Sequence[Network], element_bytes: int) -> None:
        self._networks, self._element_bytes = networks, element_bytes
        self._views: dict[str, list[Network]] = {}
        self._kernels: dict[tuple[int, str, int], list[tuple[int, ...]]] = {}

    def __call__(self, s: Structure) -> Workload:
        views = self._view(s.executes)
        return counted([self._run(n, s) for n in views], self._element_bytes)

    def _view(self, executes: str) -> list[Network]:
        if executes not in self._views:
            self._views[executes] = [
                n if executes == "all" else getattr(n, executes)() for n in self._networks
            ]
        return self._views[executes]

    def _run(self, view: Network, s: Structure) -> list[tuple[int, ...]]:
        # Views are kept, so no two share an id.
        key = (id(view), s.fusion, s.lanes)
        if key not in self._kernels:
            self._kernels[key] = kernels_run(view, "all", s.fusion, s.lanes)
        return self._kernels[key]

    def all(self, told: tuple[str, str] | None) -> list[tuple[Structure, Workload]]:
        """Combinations of what is executed and merged; those alike for these networks share a load.

        Where no mode of execution differs from another, the networks are no evidence for any, and
        the usual one stands for all; likewise for what is merged.
        """
        modes = self._unlike() if told is None else []
        pairs = [*product(modes, _SEARCHED), *_PAIRED] if told is None else [told]
        found: list[tuple[Structure, Workload]] = []
        for executes, fusion in pairs:
            structure = Structure(executes, fusion, LANES[0])
            load = self(structure)
            alike = [(s, x) for s, x in found if _same(load, x)]
            # What only differs in what it merges, and does not for these networks, is not listed.
            if any(s.executes == executes or fusion == "eager" for s, _ in alike):
                continue
            found.append((structure, alike[0][1] if alike else load))
        return found

    def _unlike(self) -> list[str]:
        """Execution modes that are to be told apart: one, where all leave the same layers."""
        left = {e: [len(n.layers) for n in self._view(e)] for e in _EXECUTES}
        return list(_EXECUTES) if len({tuple(x) for x in left.values()}) > 1 else [_EXECUTES[0]]


def _same(a: Workload, b: Workload) -> bool:
    pairs = zip((*a.kernels, a.counts), (*b.kernels, b.counts), strict=True)
    return a.counts.shape == b.counts.shape and all(np.array_equal(x, y) for x, y in pairs)
