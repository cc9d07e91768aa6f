"""One way to run networks on a board: what runs, what it costs, and where the figures come from.

Which layers of a network a runtime runs is its ``executes``. Of five layers, say

    A  a convolution of the input, whose result the output needs
    B  a pool of A's result, whose own result nothing reads
    C  a convolution of A's result, whose own result nothing reads
    D  a convolution of constant zeros, whose result the output needs
    E  a pool of constant zeros, whose result nothing reads

the five words mean

========  ==========================================================  =========  =================
executes  runs a layer if                                             of these   found on
========  ==========================================================  =========  =================
all       (always)                                                    A B C D E  PyTorch
used      its result reaches the output                               A D        TVM, TensorRT
kept      as used; and convolutions that nothing reads, with what     A C D      TFLite on the
          makes their operands                                                   Raspberry Pi 4
live      it depends on the input and its result reaches the output   A          (none yet)
fed       it depends on the input                                     A B C      onnxruntime
========  ==========================================================  =========  =================

What it then merges into one kernel is its ``fusion`` (``flash.targets.processor.fusion``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from flash.targets.processor.kernel_classes import KERNEL_CLASSES, LANES
from flash.targets.processor.kernel_evidence import KernelEvidence

__all__ = [
    "AS_READ",
    "BOX_FEATURES",
    "BYTES",
    "EXECUTES",
    "FUSIONS",
    "NOT_STATED",
    "NO_ENERGY",
    "STORED",
    "Coefficients",
    "Energy",
    "Interval",
    "Provenance",
    "Runtime",
    "Variant",
]

#: What a profile says of a framework, a version, a date that its source does not state.
NOT_STATED = "not stated"
#: Bytes an element takes, by precision.
BYTES: Mapping[str, int] = {"fp32": 4, "fp16": 2, "int8": 1, "int8_dynamic": 4}
#: Precision -> number formats of files that have rates in it. Of a network quantized dynamically
#: only the weights are stored in integers; what it computes with is quantized as it runs.
STORED: Mapping[str, tuple[str, ...]] = {
    "fp32": (),
    "fp16": ("fp16",),
    "int8": ("int8",),
    "int8_dynamic": ("int8",),
}
#: Which layers a runtime runs: the table above.
EXECUTES = ("all", "used", "kept", "live", "fed")
#: What a runtime merges into one kernel; "eager" only where it executes "all".
FUSIONS = ("conv", "graph", "sum", "eager", "ort", "blocks")
#: A runtime's fusion -> that of networks whose layers are kernels already, read as the runtime has
#: merged them: never a runtime's.
AS_READ: Mapping[str, str] = {f: "read_blocks" if f == "blocks" else "read" for f in FUSIONS}
#: Totals of a network that say whether it resembles the fitted ones.
BOX_FEATURES = ("macs", "bytes", "kernels", "conv_share")


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Coefficients of the kernel-time formula (see ``flash.targets.processor.costs``).

    One value a kernel class, in the order of ``KERNEL_CLASSES``: overhead_us the fixed time
    of a kernel, gmac_s the rate at full efficiency, gb_s the bandwidth, reduction_half and
    outputs_half the reduction length and output channels at which half that rate is reached, and
    positions_half the output positions.
    What a kernel moves beyond cache_mb passes spill_gb_s too; both may be infinite.
    """

    overhead_us: tuple[float, ...]
    gmac_s: tuple[float, ...]
    gb_s: tuple[float, ...]
    reduction_half: tuple[float, ...]
    outputs_half: tuple[float, ...]
    positions_half: tuple[float, ...] = (0.0,) * len(KERNEL_CLASSES)
    cache_mb: float = math.inf
    spill_gb_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Variant:
    """One reading of what a runtime runs and merges, with its coefficients and its weight.

    A runtime's latency is the average of its variants', with weights that sum to one.
    """

    weight: float
    executes: str
    fusion: str
    lanes: int
    coefficients: Coefficients


@dataclass(frozen=True, slots=True)
class Interval:
    """90 % prediction interval: a latency times ``low`` to ``high``.

    low, high: for networks like the fitted ones (their held-out errors); outside_low,
    outside_high: once beyond them by a factor of two (a kind left out).
    bounding_box: smallest and largest value in the fitted networks of each of ``BOX_FEATURES``.
    classes: of kernels that were measured; empty where that is not stated.
    """

    low: float
    high: float
    outside_low: float
    outside_high: float
    bounding_box: Mapping[str, tuple[float, float]]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy = power_w * latency + mj_per_gmac * GMAC + mj_per_gb * GB; the whole board.
    low, high: 90 % interval of the energy at the true latency, as factors."""

    power_w: float
    mj_per_gmac: float
    mj_per_gb: float
    low: float
    high: float
    how: str
    networks: int
    sources: tuple[str, ...]


#: Where nobody measured: a watt, of which reports say nothing.
NO_ENERGY = Energy(1.0, 0.0, 0.0, 1e-3, 1e3, "not measured on this device", 0, ())


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the latency coefficients come from and how well they did on held-out networks.

    how: "fitted" (to measurements, under a data-sheet prior) or "prior" (no measurement).
    held_out: the protocol. Errors are of networks left out of the fit: median and mean absolute
    error in per cent, Spearman's rank correlation.
    """

    how: str
    networks: int
    held_out: str
    median_error_percent: float
    mape_percent: float
    spearman: float
    date: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Runtime:
    """One way to run networks on the device, with its cost model.

    executes, fusion, lanes: what it runs and merges, and the channels it computes at once.
    threads and clock_mhz are 0, energy is ``NO_ENERGY`` where the source does not state them.
    alternatives: other readings that the measurements do not rule out, and their weights.
    kernels: measured alone, beside the networks; None where there are none.
    """

    name: str
    framework: str
    version: str
    threads: int
    clock_mhz: float
    precision: str
    executes: str
    coefficients: Coefficients
    interval: Interval
    energy: Energy
    provenance: Provenance
    fusion: str = "conv"
    lanes: int = LANES[0]
    alternatives: tuple[Variant, ...] = ()
    kernels: KernelEvidence | None = None

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All readings of the runtime, the main one first."""
        weight = 1.0 - sum(v.weight for v in self.alternatives)
        main = Variant(weight, self.executes, self.fusion, self.lanes, self.coefficients)
        return (main, *self.alternatives)

    @property
    def in_words(self) -> str:
        """Framework and version, those of them that the source states."""
        stated = " ".join(word for word in (self.framework, self.version) if word != NOT_STATED)
        return stated or "a runtime not stated"

    @property
    def basis(self) -> str:
        """What a latency is of and how far off it is, in a few words."""
        p = self.provenance
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        run = threads if self.threads else "threads not stated"
        error = f"{p.median_error_percent:.2g} %"
        where = (
            f"not measured there ({p.held_out}: median error {error})"
            if p.how == "prior"
            else f"median error {error} on networks left out of its fit"
        )
        of = f"{self.in_words} ({run}, {self.precision})"
        return f"latency is that of {of}: 90 % interval in brackets, {where}"

    @property
    def provenance_line(self) -> str:
        """Origin and held-out quality in one line."""
        p = self.provenance
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        run = threads if self.threads else "threads not stated"
        alone = f" and {self.kernels.count} single kernels" if self.kernels else ""
        clock = f"{self.clock_mhz:g} MHz" if self.clock_mhz else "clock not stated"
        date = f"date {p.date}" if p.date == NOT_STATED else p.date
        return (
            f"{self.in_words}, {run}, {clock}, {self.precision}: "
            f"{p.how}, {p.networks} networks{alone}, {date}; held out ({p.held_out}): "
            f"median error {p.median_error_percent:g} %, MAPE {p.mape_percent:g} %, "
            f"Spearman {p.spearman:g}; 90 % interval x{self.interval.low:g} to "
            f"x{self.interval.high:g}"
        )
