"""Area, power and memory figures of the systolic model against published chips and tools.

    python scripts/validate/systolic_chips.py

1. NVDLA's seven configurations: a fit with each point left out, and the shipped model.
2. SRAM area and energy against runs of CACTI 7.
3. Eyeriss: area, power and latency of AlexNet and VGG-16. The sizes were published; its
   dataflow (row stationary) is not the model's, so this is an anchor, not a test.

Third-party data lie in ``shared/data`` beside the repository (or in FLASH_SHARED). Exit code
1 if NVDLA's area and average power exceed 10 % or SRAM areas 12 %.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from flash.spaces.reference import reference_network
from flash.targets.components import component
from flash.targets.systolic.chip import systolic_area_mm2, systolic_areas_mm2
from flash.targets.systolic.costs import layer_reports
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
        macs = int(row["int8_MACs"])
        side = 1 << (macs.bit_length() - 1) // 2
        chip = {
            "rows": side, "cols": macs // side, "buffer_kib": int(row["conv_buffer_KB"]),
            "dataflow": 1, "bits": 8, "frequency_mhz": 1000,
        }  # fmt: skip
        area28 = float(systolic_area_mm2(load_systolic("edge-tpu-like"), chip))
        hardware = replace(load_systolic("systolic"), dram_gb_s=row["sdram_GBps"])
        area16 = float(systolic_area_mm2(hardware, chip))
        layers = layer_reports(network, hardware, chip)
        time_ms = sum(x.latency_ms for x in layers)
        power_mw = sum(x.energy_mj - x.dram_uj / 1e3 for x in layers) / time_ms * 1e3
        print(
            f"  {macs:5d} {chip['buffer_kib']:4d} {area28 / row['area_mm2_28nm'] - 1:+11.1%} "
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


def show_eyeriss() -> None:
    """Published (JSSC 2017): 12.25 mm2 core; AlexNet convolutions 28.8 ms an image at 278 mW;
    VGG-16 1436.5 ms at 236 mW; DRAM not included in the power."""
    hardware = load_systolic("eyeriss-like")
    chip = {name: values[0] for name, values in hardware.variables.items()}
    parts = systolic_areas_mm2(hardware, chip)
    area = sum(float(v) for v in parts.values())
    shown = ", ".join(f"{name} {float(value):.2f}" for name, value in parts.items())
    print(
        f"\nEyeriss-like: {area:.2f} mm2 ({shown}); published core 12.25: {area / 12.25 - 1:+.0%}"
    )
    for name, latency_ms, power_mw in (("alexnet_caffe", 28.8, 278), ("vgg16", 1436.5, 236)):
        convolutions = [x for x in reference_network(name).layers if x.op == "conv"]
        for mac_model in ("aladdin", "horowitz"):
            found = layer_reports(convolutions, replace(hardware, mac_model=mac_model), chip)
            time = sum(x.latency_ms for x in found)
            energy = sum(x.energy_mj - x.dram_uj / 1e3 for x in found)
            print(
                f"  {name:14s} {mac_model:9s} {time:7.1f} ms ({time / latency_ms - 1:+.0%}), "
                f"{energy / time * 1e3:4.0f} mW ({energy / time * 1e3 / power_mw - 1:+.0%}), "
                f"{energy:6.2f} mJ ({energy * 1e3 / (latency_ms * power_mw) - 1:+.0%})"
            )


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
    show_eyeriss()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
