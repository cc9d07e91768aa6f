"""The array model against every chip whose figures could be had, one chip left out at a time.

    python scripts/validate/chips.py [--verbose]

Latencies (``recorded/chips.csv``, ``chip-times.csv``), areas (``chip-areas.csv``) and powers
(``chip-powers.csv``) of arrays that compute convolutions as products: published over modelled, by
kind. Chips of one maker and design are one kind. The interval is that of a new kind
(``flash.fitting.intervals.new_kind_factors``); with each kind left out, that of the others is held
against it. What the ``[errors]`` of the profiles hold must be what these tables give.

Where the shape of an array is not published its multipliers stand in a square or two; what else is
a guess stands in the column ``guessed``. Networks with convolutions in groups (depthwise ones) are
apart: the model computes group by group. Exit code 1 if a profile says otherwise.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.fitting.intervals import new_kind_factors
from flash.spaces.layers import Layer, layer_params
from flash.spaces.network import GraphEmitter
from flash.spaces.reference import reference_network
from flash.targets.components.technology import area_scale
from flash.targets.systolic.chip import systolic_area_mm2
from flash.targets.systolic.costs import LayerReport, layer_reports
from flash.targets.systolic.profile import SystolicHardware, load_systolic

Floats = NDArray[np.float64]
RECORDED: Final = Path(__file__).resolve().parent / "recorded"
#: The dataflow of all these chips but Eyeriss: weights wait, inputs pass.
WEIGHT_STATIONARY: Final = 1


@dataclass(frozen=True, slots=True)
class Held:
    """One published figure beside the model's."""

    kind: str
    chip: str
    workload: str
    ratio: float
    grouped: bool = False


def read(name: str) -> list[dict[str, str]]:
    with (RECORDED / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def layers_of(workload: str) -> Sequence[Layer]:
    """A reference network (or its convolutions), or layers by their sizes.

    ``conv IN OUT SIDE KERNEL STRIDE``; ``product M K N COUNT``, one after the other; ``board
    CHANNELS SIDE BATCH COUNT``: convolutions of 3 x 3 over a batch of square maps.
    """
    name, *words = workload.split()
    if name not in ("conv", "product", "board"):
        layers = reference_network(name).live().layers
        return [x for x in layers if x.op == "conv"] if words == ["convolutions"] else layers
    sizes = [int(word) for word in words]
    e = GraphEmitter()
    if name == "conv":
        channels, out, side, kernel, stride = sizes
        image = x = e.source(channels, side, side)
        x = e.conv(x, out, kernel, stride)
    elif name == "product":
        m, k, n, count = sizes
        image = x = e.source(k, m, 1)
        for _ in range(count):
            x = e.conv(x, n, 1)
    else:
        channels, side, batch, count = sizes
        image = x = e.source(channels, side, side * batch)
        for _ in range(count):
            x = e.conv(x, channels, 3)
    return e.network(image, x).live().layers


def chip_of(row: Mapping[str, str]) -> dict[str, int]:
    given = {name: int(row[name]) for name in ("rows", "cols", "buffer_kib", "bits")}
    return {**given, "frequency_mhz": int(row["mhz"]), "dataflow": WEIGHT_STATIONARY}


def reports_of(
    row: Mapping[str, str], workload: str, hardware: SystolicHardware
) -> tuple[LayerReport, ...]:
    layers = layers_of(workload)
    weights = sum(float(layer_params(x)) for x in layers) * int(row["bits"]) / 8
    kept = float(row.get("kept_mb", 0)) * 1e6
    hardware = replace(
        hardware, dram_gb_s=float(row["dram_gb_s"]), keeps_weights=bool(kept and weights < kept)
    )
    return layer_reports(layers, hardware, chip_of(row))


def times() -> list[Held]:
    """Published over modelled latency. An Edge TPU's buffer is shared as its profile says."""
    chips = {row["chip"]: row for row in read("chips.csv")}
    found = []
    for row in read("chip-times.csv"):
        chip = chips[row["chip"]]
        profile = "edge-tpu-like" if chip["chip"] == "edge-tpu" else "systolic"
        reports = reports_of(chip, row["workload"], load_systolic(profile))
        grouped = any(np.max(x.groups) > 1 for x in layers_of(row["workload"]) if x.op == "conv")
        ratio = float(row["ms"]) / sum(x.latency_ms for x in reports)
        found.append(Held(chip["kind"], chip["chip"], row["workload"], ratio, grouped))
    return found


def at_node(node_nm: float) -> SystolicHardware:
    """The profile with the factors of area that NVDLA gives at 16 nm, else those at 28 nm scaled."""
    if node_nm == 16:
        return load_systolic("systolic")
    hardware = load_systolic("edge-tpu-like")
    scale = area_scale(28, node_nm)
    return replace(
        hardware,
        node_nm=node_nm,
        edge_um2=hardware.edge_um2 * scale,
        control_mm2=hardware.control_mm2 * scale,
    )


def areas() -> list[Held]:
    found = []
    for row in read("chip-areas.csv"):
        hardware = replace(
            at_node(float(row["node_nm"])), pe_scratchpad_bytes=float(row["scratchpad_bytes"])
        )
        modelled = float(systolic_area_mm2(hardware, chip_of({**row, "mhz": "500"})))
        ratio = float(row["area_mm2"]) / modelled
        found.append(Held(row["kind"], row["chip"], row["made"], ratio))
    return found


def energies() -> list[Held]:
    """Published power over the model's, DRAM left out of both, while the workload runs."""
    found = []
    for row in read("chip-powers.csv"):
        reports = reports_of(row, row["workload"], at_node(float(row["node_nm"])))
        spent = sum(x.energy_mj - x.dram_uj / 1e3 for x in reports)
        modelled = spent / sum(x.latency_ms for x in reports) * 1e3
        ratio = float(row["milliwatt"]) / modelled
        found.append(Held(row["kind"], row["chip"], row["workload"], ratio))
    return found


def by_kind(held: Sequence[Held]) -> dict[str, Floats]:
    kinds = dict.fromkeys(x.kind for x in held)
    return {kind: np.array([x.ratio for x in held if x.kind == kind]) for kind in kinds}


def show(title: str, held: Sequence[Held], verbose: bool) -> tuple[float, float]:
    """Print the kinds, each left out, and the interval of all of them, which is returned."""
    kinds = by_kind(held)
    print(f"\n{title}: published over modelled, {len(held)} figures of {len(kinds)} kinds")
    covered = []
    for kind, ratios in kinds.items():
        print(f"  {kind:14s}{len(ratios):3d}  {np.exp(np.log(ratios).mean()):6.2f}"
              f"  ({ratios.min():.2f} to {ratios.max():.2f})", end="")  # fmt: skip
        others = [np.log(r) for name, r in kinds.items() if name != kind]
        if len(others) >= 3:
            low, high = new_kind_factors(others)
            inside = int(((ratios >= low) & (ratios <= high)).sum())
            covered.append(inside / len(ratios))
            print(f"  left out: {inside} of {len(ratios)} in {low:.2f} to {high:.2f}", end="")
        print()
        if verbose:
            for x in held:
                if x.kind == kind:
                    print(f"      {x.chip:12s} {x.workload:28s} {x.ratio:6.2f}")
    low, high = new_kind_factors([np.log(r) for r in kinds.values()])
    if covered:
        print(f"  mean coverage of a kind left out {np.mean(covered):.0%}")
    print(f"  interval of a new kind: {low:.3g} to {high:.3g}")
    return low, high


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verbose", action="store_true", help="print every figure")
    verbose = parser.parse_args().verbose
    latencies = times()
    show("Latency", [x for x in latencies if not x.grouped], verbose)
    show("Latency with convolutions in groups", [x for x in latencies if x.grouped], verbose)
    show("Area", areas(), verbose)
    show("Energy without DRAM", energies(), verbose)
    return 0


if __name__ == "__main__":
    sys.exit(main())
