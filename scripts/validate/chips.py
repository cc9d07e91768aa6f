"""The array model against every chip whose figures could be had, one chip left out at a time.

    python scripts/validate/chips.py [--verbose]

Latencies (``recorded/chips.csv``, ``chip-times.csv``), areas (``chip-areas.csv``) and powers
(``chip-powers.csv``) of arrays that compute convolutions as products: published over modelled, by
kind. Chips of one maker and design are one kind. The interval is that of a new kind
(``flash.fitting.intervals.new_kind_factors``); with each kind left out, that of the others is held
against it. What the ``[errors]`` of ``systolic`` and ``edge-tpu-like`` hold must be what these
tables give, in two digits; exit code 1 if not.

Where the shape of an array is not published its multipliers stand in a square or two; what else is
a guess stands in the column ``guessed``. Networks with convolutions in groups (depthwise ones) are
apart: the model computes group by group. Beside them, shown, no interval comes from them: published
compute-in-memory macros (``imc-macros.csv``) and the crossbar of ``imc``; EIE, which skips zeros;
MAESTRO, a model (both of ``shared/data`` beside the repository, left out where that is absent).
"""

from __future__ import annotations

import argparse
import csv
import os
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
from flash.spaces.table import TableEmitter
from flash.targets.components.technology import area_scale
from flash.targets.imc.model import evaluate, prepare
from flash.targets.imc.profile import load_imc
from flash.targets.systolic.chip import systolic_area_mm2
from flash.targets.systolic.costs import LayerReport, layer_reports
from flash.targets.systolic.profile import SystolicHardware, load_systolic

Floats = NDArray[np.float64]
RECORDED: Final = Path(__file__).resolve().parent / "recorded"
_BESIDE = Path(__file__).resolve().parents[3] / "shared"
SHARED: Final = Path(os.environ.get("FLASH_SHARED", _BESIDE)) / "data" / "accelerators"
#: The dataflow of all these chips but Eyeriss: weights wait, inputs pass.
WEIGHT_STATIONARY: Final = 1
#: Parts of a tile that are its crossbar's: what a published macro holds.
CROSSBAR: Final = ("dac", "input_register", "sample_hold", "shift_add", "output_register", "array",
                   "adc")  # fmt: skip
#: Inputs and outputs of EIE's layers, in the order of its table: fully connected ones of AlexNet
#: and VGG-16, and NeuralTalk's.
EIE_LAYERS: Final = ((9216, 4096), (4096, 4096), (4096, 1000), (25088, 4096), (4096, 4096),
                     (4096, 1000), (4096, 600), (600, 8791), (1201, 2400))  # fmt: skip
MAESTRO_NETWORKS: Final = {"Resnet50": "resnet50", "MobileNetV2": "mobilenet_v2_1.0_224"}


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
        if row["left_out"]:
            continue
        chip = chips[row["chip"]]
        profile = "edge-tpu-like" if chip["chip"] == "edge-tpu" else "systolic"
        reports = reports_of(chip, row["workload"], load_systolic(profile))
        grouped = any(np.max(x.groups) > 1 for x in layers_of(row["workload"]) if x.op == "conv")
        ratio = float(row["ms"]) / sum(x.latency_ms for x in reports)
        found.append(Held(chip["kind"], chip["chip"], row["workload"], ratio, grouped))
    return found


def at_node(node_nm: float) -> SystolicHardware:
    """A profile with the factors of area that NVDLA gives: at 16 nm, else those at 28 nm scaled."""
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
    """Published power times time over the model's energy, DRAM left out of both."""
    found = []
    for row in read("chip-powers.csv"):
        reports = reports_of(row, row["workload"], at_node(float(row["node_nm"])))
        modelled_mj = sum(x.energy_mj - x.dram_uj / 1e3 for x in reports)
        ratio = float(row["milliwatt"]) * float(row["ms"]) * 1e-3 / modelled_mj
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


def derived(verbose: bool = False) -> dict[str, float]:
    """The ``[errors]`` that the recorded tables give, by their names in a profile."""
    latencies = times()
    ends = {
        ("latency_low", "latency_high"): show(
            "Latency", [x for x in latencies if not x.grouped], verbose
        ),
        ("latency_low_grouped", "latency_high_grouped"): show(
            "Latency with convolutions in groups", [x for x in latencies if x.grouped], verbose
        ),
        ("area_low", "area_high"): show("Area", areas(), verbose),
        ("energy_low", "energy_high"): show("Energy without DRAM", energies(), verbose),
    }
    return {
        name: float(f"{end:.2g}")
        for names, found in ends.items()
        for name, end in zip(names, found, strict=True)
    }


def check_errors(verbose: bool = False) -> bool:
    """Whether the profiles hold the intervals that the recorded tables give."""
    wanted, good = derived(verbose), True
    for profile in ("systolic", "edge-tpu-like"):
        hardware = load_systolic(profile)
        for name, value in wanted.items():
            held = getattr(hardware, name)
            if held != value:
                good = False
                print(f"MISSED: {profile} has {name} = {held}, the tables give {value:g}")
    return good


def macros_over_model(row: Mapping[str, str], profile: str, adc: str) -> tuple[float, float, float]:
    """Energy of a MAC, area and time of one product: a published macro's over the crossbar's.

    A matrix of the macro's size in a crossbar of its cells, inputs one bit at a time as the profile
    has them; area with all cells, energy with those that take part.
    """
    hardware = load_imc(profile)
    bits, columns, rows = int(row["weight_bits"]), int(row["columns"]), int(row["rows"])
    precision = replace(
        hardware.precision, weight_bits=bits, activation_bits=int(row["input_bits"])
    )
    hardware = replace(hardware, precision=precision)
    chip = {
        **hardware.default, "node_nm": int(row["node_nm"]), "rows": rows, "columns": columns,
        "adc_bits": int(row["adc_bits"]), "columns_per_adc": int(row["columns_per_adc"]),
        "cell_bits": 1, "crossbars_per_tile": 1, "mvm_limit": 1,
    }  # fmt: skip
    e = TableEmitter(1)
    table = e.table(e.linear(e.source(rows, 1, 1), columns // bits))
    spent = evaluate(prepare(table, hardware, chip, "least"), adc)
    pj = sum(float(np.sum(spent.energy_pj[name])) for name in CROSSBAR)
    whole = evaluate(
        prepare(table, hardware, {**chip, "rows": int(row["cell_rows"])}, "least"), adc
    )
    mm2 = sum(float(np.ravel(whole.parts_mm2[name])[0]) for name in CROSSBAR)
    pj_per_mac = 2 / float(row["tops_per_watt"])
    return (
        pj_per_mac / (pj / (rows * (columns // bits))),
        float(row["area_mm2"]) / (mm2 * int(row["macros"])),
        float(row["ns_per_product"]) / float(spent.compute_ns.sum()),
    )


def show_macros() -> None:
    print("\nCompute-in-memory macros (SRAM): published over the crossbar of imc, of all its")
    print("converters, and of imc-neurosim: energy of a MAC, area, time of a product")
    for row in read("imc-macros.csv"):
        models = load_imc("imc").settings.adc_models
        found = np.array([macros_over_model(row, "imc", adc) for adc in models])
        ends = ", ".join(
            f"{a:.2f} to {b:.2f}" for a, b in zip(found.min(0), found.max(0), strict=True)
        )
        own = ", ".join(f"{x:.2f}" for x in macros_over_model(row, "imc-neurosim", "flash"))
        print(f"  {row['macro']:24s}{ends};  {own}")


def show_sparse(folder: Path) -> None:
    """EIE's measured layers over its own ideal and over an array of as many multipliers.

    The shapes of the nine layers are those of the paper's benchmarks (AlexNet, VGG-16, NeuralTalk).
    """
    path = folder / "eie_measured_fc_layers_us.csv"
    if not path.exists():
        print(f"\nSKIPPED EIE: no {path.name} on this machine")
        return
    with path.open(encoding="utf-8", newline="") as stream:
        named = {row.pop("Layer"): row for row in csv.DictReader(stream)}
    actual, ideal = named["Actual Time"], named["Theoretical Time"]
    print(
        "\nEIE (64 multipliers, 800 MHz, sparse): measured over its ideal, and over dense weights"
    )
    print("and inputs on an array of as many multipliers whose memory costs nothing")
    chip = {"rows": 8, "cols": 8, "buffer_kib": 8192, "bits": 16, "frequency_mhz": 800}
    for name, (inputs, outputs) in zip(actual, EIE_LAYERS, strict=True):
        (report,) = layer_reports(
            layers_of(f"product 1 {inputs} {outputs} 1"),
            replace(load_systolic("systolic"), keeps_weights=True),
            {**chip, "dataflow": WEIGHT_STATIONARY},
        )
        us = float(actual[name])
        dense = us / (report.compute_cycles / chip["frequency_mhz"])
        print(f"  {name:12s} {us / float(ideal[name]):5.2f}  {dense:7.4f}")


def show_models(folder: Path) -> None:
    """MAESTRO's cycles over ours, layers of equal MACs and weights on as many multipliers."""
    path = folder / "maestro_layers.csv"
    if not path.exists():
        print(f"\nSKIPPED MAESTRO: no {path.name} on this machine")
        return
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    print("\nMAESTRO's table (a model): its cycles over ours of 1 x 1 convolutions, and its MACs a")
    print("cycle and multiplier in the others, of which more than one each is none that it has")
    for config in dict.fromkeys(row["config"] for row in rows):
        if "_ws_" not in config:
            continue
        network, _, _, elements = config.replace("pe", "").split("_")
        side = int(np.sqrt(int(elements)))
        chip = {"rows": side, "cols": side, "buffer_kib": 512, "bits": 8, "frequency_mhz": 1000}
        layers = [x for x in layers_of(MAESTRO_NETWORKS[network]) if x.op == "conv"]
        reports = layer_reports(
            layers, load_systolic("systolic"), {**chip, "dataflow": WEIGHT_STATIONARY}
        )
        own = {
            (r.macs, r.macs // int(np.ravel(x.out_height * x.out_width)[0])): r.compute_cycles
            for x, r in zip(layers, reports, strict=True)
            if np.max(x.kernel_height) == 1
        }
        ratios, busy = [], []
        for row in rows:
            if row["config"] != config:
                continue
            macs, cycles = int(float(row["Num MACs"])), float(row["Runtime (Cycles)"])
            key = (macs, int(float(row["Num Total Weight Pixels"])))
            if key in own:
                ratios.append(cycles / own[key])
            else:
                busy.append(macs / cycles / int(elements))
        print(
            f"  {config:26s}{len(ratios):3d} of 1 x 1: median {np.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}); "
            f"others {min(busy):.2f} to {max(busy):.2f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verbose", action="store_true", help="print every figure")
    verbose = parser.parse_args().verbose
    good = check_errors(verbose)
    show_macros()
    show_sparse(SHARED)
    show_models(SHARED)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
