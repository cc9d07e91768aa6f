"""Area, power and memory figures of the systolic model against published chips and tools.

    python scripts/validate/systolic_chips.py

1. NVDLA's seven configurations: a fit with each point left out, and the shipped model.
2. SRAM area and energy against runs of CACTI 7.
3. Eyeriss: AlexNet and VGG-16 layer by layer: time, power, DRAM traffic; area.

The intervals of the profiles, from all chips: ``chips.py``. Third-party data lie in ``shared/data``
beside the repository (or in FLASH_SHARED). Exit code 1 if NVDLA's area and average power exceed
10 %, SRAM areas 12 %, or Eyeriss its limits.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from flash.spaces.reference import reference_network
from flash.targets.components import component
from flash.targets.systolic.chip import systolic_area_mm2
from flash.targets.systolic.costs import layer_reports
from flash.targets.systolic.passes import Zeros
from flash.targets.systolic.profile import load_systolic

Floats = NDArray[np.float64]


def shared_folder() -> Path:
    """The folder of third-party data, beside the repository or in FLASH_SHARED."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("FLASH_SHARED", beside))


def read(name: str) -> list[dict[str, float]]:
    with (shared_folder() / "data" / "accelerators" / name).open(encoding="utf-8") as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def fit(features: Floats, values: Floats) -> Floats:
    """Non-negative coefficients with the least sum of squared relative errors."""
    return np.asarray(nnls(features / values[:, None], np.ones(len(values)))[0])


def left_out_errors(features: Floats, values: Floats) -> Floats:
    """Relative error of each point predicted from the others."""
    predicted = [
        features[i] @ fit(np.delete(features, i, 0), np.delete(values, i))
        for i in range(len(values))
    ]
    return np.array(predicted) / values - 1


def check_nvdla() -> bool:
    """One form for all: constant, MACs, side of the array, buffer. Peak power has no buffer."""
    rows = read("nvdla_primer_table.csv")
    macs = np.array([row["int8_MACs"] for row in rows])
    features = np.stack(
        [np.ones(len(rows)), macs, np.sqrt(macs), np.array([r["conv_buffer_KB"] for r in rows])], 1
    )
    print("NVDLA, seven configurations, leave one out (constant, MAC, sqrt(MAC), KiB):")
    good = True
    for name, columns, wanted in (
        ("area_mm2_28nm", 4, True),
        ("area_mm2_16nm", 4, True),
        ("power_avg_mW_16nm", 4, True),
        ("power_peak_mW_16nm", 3, True),
        ("power_peak_mW_16nm", 4, False),
    ):
        values = np.array([row[name] for row in rows])
        errors = left_out_errors(features[:, :columns], values)
        coefficients = ", ".join(f"{c:.3g}" for c in fit(features[:, :columns], values))
        print(f"  {name:20s} worst {np.abs(errors).max():6.1%}   [{coefficients}]")
        good &= not wanted or bool(np.abs(errors).max() < 0.10)
    return good


def _nvdla_chip(row: Mapping[str, float], dataflow: int = 1) -> dict[str, int]:
    macs = int(row["int8_MACs"])
    side = 1 << (macs.bit_length() - 1) // 2
    return {
        "rows": side, "cols": macs // side, "buffer_kib": int(row["conv_buffer_KB"]),
        "dataflow": dataflow, "bits": 8, "frequency_mhz": 1000,
    }  # fmt: skip


def show_shipped() -> None:
    """The shipped models at NVDLA's sizes: area in-sample; speed and power not fitted at all.

    NVDLA publishes ResNet-50 frames a second and average power at 1 GHz, 16 nm, with the
    SDRAM rate of each size; power of the chip, DRAM not included.
    """
    rows = read("nvdla_primer_table.csv")
    network = reference_network("resnet50").live().layers
    print("\nShipped models at NVDLA's sizes, ours over published - 1 (only areas were fitted):")
    print("   MACs  KiB  area 28 nm  area 16 nm  ResNet-50 time  average power")
    for row in rows:
        chip = _nvdla_chip(row)
        area28 = float(systolic_area_mm2(load_systolic("edge-tpu-like"), chip))
        hardware = replace(load_systolic("systolic"), dram_gb_s=row["sdram_GBps"])
        area16 = float(systolic_area_mm2(hardware, chip))
        layers = layer_reports(network, hardware, chip)
        time_ms = sum(x.latency_ms for x in layers)
        power_mw = sum(x.energy_mj - x.dram_uj / 1e3 for x in layers) / time_ms * 1e3
        print(
            f"  {int(row['int8_MACs']):5d} {chip['buffer_kib']:4d} "
            f"{area28 / row['area_mm2_28nm'] - 1:+11.1%} "
            f"{area16 / row['area_mm2_16nm'] - 1:+11.1%} "
            f"{time_ms * row['resnet50_int8_fps_1GHz'] / 1e3 - 1:+15.0%} "
            f"{power_mw / row['power_avg_mW_16nm'] - 1:+14.0%}"
        )


def check_cacti() -> bool:
    rows = read("cacti7_sram_hwcomponents.csv")
    print("\nSRAM against CACTI 7, 1 to 4096 KiB at 65, 45, 32 and 22 nm (ours over CACTI's):")
    good = True
    for port in (64, 256):
        chosen = [row for row in rows if row["port_width_bits"] == port]
        made = [component("sram", "cacti7", r["node_nm"], kib=r["size_KB"]) for r in chosen]
        for name, ours in (
            ("area_mm2", [sram.area_mm2 for sram in made]),
            ("read_pJ_per_access", [port * sram.energy_pj["read"] for sram in made]),
            ("write_pJ_per_access", [port * sram.energy_pj["write"] for sram in made]),
        ):
            ratios = [float(value) / r[name] for value, r in zip(ours, chosen, strict=True)]
            print(f"  {port:3d}-bit port {name:20s} {min(ratios):.2f} to {max(ratios):.2f}")
            if port == 64 and name == "area_mm2":
                good = max(max(ratios), 1 / min(ratios)) < 1.12
    return good


#: Eyeriss, JSSC 2017, Tables V and VI: layers, batch; total and processing time (ms a batch), power
#: (mW, without DRAM), active elements, zeros of the inputs (%), DRAM (MiB a batch).
EYERISS: Final = {
    "alexnet_caffe": (4, (
        (20.9, 16.5, 332, 154, 0.01, 5.0), (41.9, 39.2, 288, 135, 38.7, 4.0),
        (23.6, 21.8, 266, 156, 72.5, 3.0), (18.4, 16.0, 235, 156, 79.3, 2.1),
        (10.5, 10.0, 236, 156, 77.6, 1.3))),
    "vgg16": (3, (
        (76.2, 38.0, 247, 156, 1.6, 15.4), (910.3, 810.6, 218, 156, 47.7, 54.0),
        (470.3, 405.3, 242, 156, 24.8, 33.4), (894.3, 810.8, 231, 156, 38.7, 48.5),
        (241.1, 204.0, 254, 156, 39.7, 20.2), (460.9, 408.1, 235, 156, 58.1, 32.2),
        (457.7, 408.1, 233, 156, 58.7, 30.8), (135.8, 105.1, 278, 168, 64.3, 17.8),
        (254.8, 210.0, 261, 168, 74.7, 28.6), (246.3, 210.0, 240, 168, 85.4, 22.8),
        (54.3, 48.3, 258, 163, 79.4, 6.3), (53.7, 48.5, 236, 168, 87.4, 5.7),
        (53.7, 48.5, 230, 168, 88.5, 5.6))),
}  # fmt: skip
#: Whole networks: ms an image, mW, and MiB of DRAM a batch.
EYERISS_WHOLE: Final = {"alexnet_caffe": (28.825, 278, 15.4), "vgg16": (1436.5, 236, 321.1)}


def check_eyeriss() -> bool:
    """Eyeriss as a whole: time 10 %, power 15 %, DRAM a factor 1.5; time over ideal 20 %.

    The share of zeros of every layer is given, as the tables have it (a layer's outputs are the
    next one's inputs; the last one's 90 %). Which constants had seen these figures:
    docs/validation/chips.md.
    """
    hardware = load_systolic("eyeriss-like")
    chip = {name: values[0] for name, values in hardware.variables.items()}
    area = float(systolic_area_mm2(hardware, chip))
    print(f"\nEyeriss: {area:.2f} mm2; published core 12.25: {area / 12.25 - 1:+.0%}")
    good = True
    for name, (batch, rows) in EYERISS.items():
        layers = [x for x in reference_network(name).layers if x.op == "conv"]
        inside = [row[4] / 100 for row in rows]
        zeros = {
            layer.name: Zeros(own, after)
            for layer, own, after in zip(layers, inside, [*inside[1:], 0.9], strict=True)
        }
        found = layer_reports(layers, hardware, chip | {"batch": batch}, zeros)
        print(f"  {name}, batch {batch}: ms, over the active elements' ideal, mW, MiB of DRAM "
              "(flash / published), energy without DRAM (published over flash)")  # fmt: skip
        for x, (ms, processing, mw, elements, _, mib) in zip(found, rows, strict=True):
            ideal = x.macs * batch / elements / hardware.variables["frequency_mhz"][0] / 1e3
            ours = x.compute_cycles * batch / hardware.variables["frequency_mhz"][0] / 1e3
            power = (x.energy_mj - x.dram_uj / 1e3) / x.latency_ms * 1e3
            good &= abs(ours / processing - 1) <= 0.2
            print(
                f"    {x.name:10s} {x.latency_ms * batch:7.1f} / {ms:6.1f} "
                f"{ours / ideal:6.2f} / {processing / ideal:4.2f} {power:5.0f} / {mw} "
                f"{x.dram_bytes * batch / 2**20:6.1f} / {mib:4.1f}"
                f"  x{ms * mw / (x.latency_ms * batch * power):.2f}"
            )
        time_ms = sum(x.latency_ms for x in found)
        power = sum(x.energy_mj - x.dram_uj / 1e3 for x in found) / time_ms * 1e3
        mib = sum(x.dram_bytes for x in found) * batch / 2**20
        published = EYERISS_WHOLE[name]
        errors = [a / b - 1 for a, b in zip((time_ms, power, mib), published, strict=True)]
        good &= abs(errors[0]) <= 0.1 and abs(errors[1]) <= 0.15 and 2 / 3 <= 1 + errors[2] <= 1.5
        print(
            f"    whole      {time_ms:.1f} ms an image ({errors[0]:+.1%}), {power:.0f} mW "
            f"({errors[1]:+.1%}), DRAM {mib:.1f} MiB ({errors[2]:+.0%})"
        )
    return good


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    if not (shared_folder() / "data" / "accelerators").is_dir():
        print("SKIPPED: no shared/data/accelerators on this machine")
        return 0
    good = check_nvdla()
    show_shipped()
    good &= check_cacti()
    good &= check_eyeriss()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
