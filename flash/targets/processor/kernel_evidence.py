"""Kernels measured alone: what they say of a network that is made of such kernels.

Whole networks that were measured are seldom as small as those a search is about, but kernels of
their sizes may have been timed one by one. A network is then inside what was measured if such
kernels carry most of its time, whatever its own size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.files.section import Section
from flash.targets.processor.kernel_classes import KERNEL_CLASSES, Kernel

__all__ = ["ENOUGH", "KernelEvidence", "KernelRange", "like_measured", "read_evidence"]

#: Share of a network's time in kernels like those measured from which on it is inside what was
#: measured (the project's rule). Below, the distance of the whole network counts in proportion.
ENOUGH = 0.8
#: A kernel is like those of its class that were measured if each of its sizes is within their
#: range or beyond it by less than this factor: channels from 16 on, where 32 were measured.
_BEYOND = 2.0
_SIZES = ("reduction", "outputs", "positions")


@dataclass(frozen=True, slots=True)
class KernelRange:
    """Smallest and largest sizes of the kernels of a class: the fields of ``Kernel``."""

    reduction: tuple[float, float]
    outputs: tuple[float, float]
    positions: tuple[float, float]


@dataclass(frozen=True)
class KernelEvidence:
    """Kernels that were timed alone and entered a runtime's fit beside whole networks.

    count:      of them.
    in_network: what a network took over the sum of its convolutions by the kernels' own
                coefficients: median, smallest and largest of the measured networks.
    median_error_percent: of the half of the kernels left out of a fit.
    ranges:     by kernel class.
    """

    count: int
    in_network: tuple[float, float, float]
    median_error_percent: float
    ranges: Mapping[str, KernelRange]
    sources: tuple[str, ...]

    @cached_property
    def bounds(self) -> Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Least and largest of each size by class; nothing lies inside without kernels."""
        found = {}
        for size in _SIZES:
            pairs = [
                getattr(self.ranges[name], size) if name in self.ranges else (np.inf, -np.inf)
                for name in KERNEL_CLASSES
            ]
            least, most = np.array(pairs).T
            found[size] = least / _BEYOND, most * _BEYOND
        return found


def like_measured(kernel: Kernel, evidence: KernelEvidence) -> bool | NDArray[np.bool_]:
    """Whether a kernel's class and sizes are like those measured: one value, or one a design."""
    kind = kernel.kind
    inside: Any = True
    for size in _SIZES:
        least, most = evidence.bounds[size]
        value = getattr(kernel, size)
        if isinstance(kind, int) and isinstance(value, int):
            inside = inside & bool(least[kind] <= value <= most[kind])
        else:
            inside = inside & (np.asarray(value) >= least[kind]) & (value <= most[kind])
    found: bool | NDArray[np.bool_] = inside
    return found


def read_evidence(s: Section) -> KernelEvidence:
    """The section ``kernels`` of a runtime."""
    table, ranges = s.section("ranges"), {}
    for name in table.names():
        if name not in KERNEL_CLASSES:
            table.refuse(name, f"is none of {', '.join(KERNEL_CLASSES)}")
        own = table.section(name)
        ranges[name] = KernelRange(**{size: own.pair(size) for size in _SIZES})
        own.done()
    table.done()
    factor = s.section("in_network")
    evidence = KernelEvidence(
        count=s.integer("count"),
        in_network=(factor.number("median"), factor.number("low"), factor.number("high")),
        median_error_percent=s.number("median_error_percent"),
        ranges=ranges,
        sources=s.texts("sources"),
    )
    factor.done()
    s.done()
    return evidence
