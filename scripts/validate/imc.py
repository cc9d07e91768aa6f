"""The imc model against what is published: BookSim2, ISAAC, DNN+NeuroSim.

    python scripts/validate/imc.py

1. Mesh latency and saturation against BookSim2's runs.
2. ISAAC's tile and chip, rolled up from its parts.
3. VGG-8 on CIFAR-10 against DNN+NeuroSim V1.3 (manual, Fig. 24: 22 nm, 2-bit RRAM,
   128 x 128 cells, 5-bit converters shared by 8 columns, 8-bit weights and inputs). Stated
   now: area, latency and energy of target ``imc-neurosim`` within a factor 1.5, their intervals
   containing NeuroSim's and at most a factor 4 wide. It is no blind test: NeuroSim's read time,
   parts and tile size were taken over with its figures in sight, and traffic between tiles was
   revised afterwards. Leakage is shown, not judged.
4. How far the additive bound (``hops="least"``) is below the real placement; throughput.

Third-party data lie in ``shared/data`` beside the repository (or in FLASH_SHARED); what is
absent is skipped, and said. Exit code 1 if a stated limit is missed.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from flash.spaces.space import load_space
from flash.spaces.table import LayerTable, TableEmitter
from flash.targets import load_target
from flash.targets.imc.breakdown import breakdown
from flash.targets.imc.model import imc_costs
from flash.targets.imc.noc import uniform_traffic_cycles
from flash.targets.imc.parts import tile_parts, tile_power_mw
from flash.targets.imc.profile import load_imc

CHIP = {
    "rows": 128, "columns": 128, "crossbars_per_tile": 16, "cell_bits": 2, "adc_bits": 5,
    "columns_per_adc": 8, "buffer_kib": 32, "noc_bits": 32, "frequency_mhz": 500,
    "node_nm": 22, "mvm_limit": 16384,
}  # fmt: skip
#: NeuroSim V1.3 manual, Fig. 24; its clock there is 2.05 ns.
NEUROSIM = {"area_mm2": 45.554, "latency_ms": 1.45613, "dynamic_energy_mj": 0.0377518}
NEUROSIM_SHARES = {"ADC share of area": 14.6062 / 45.554, "ADC share of energy": 18.274 / 37.752}
STATED = {"area_mm2": 1.5, "latency_ms": 1.5, "dynamic_energy_mj": 1.5}
#: Chip total leakage energy of the same output.
LEAKAGE_MJ = 1.19011e-3


def shared_file(name: str) -> Path | None:
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    path = Path(os.environ.get("FLASH_SHARED", beside)) / "data" / "accelerators" / name
    return path if path.exists() else None


def vgg8() -> LayerTable:
    """The VGG-8 of DNN+NeuroSim, as a table of one design."""
    e = TableEmitter(1)
    x = e.source(3, 32, 32)
    for number, width in enumerate((128, 128, 256, 256, 512, 512)):
        x = e.conv(x, width, 3)
        x = e.max_pool(x, 2, 2, pad=0) if number % 2 else x
    return e.table(e.linear(e.linear(x, 1024, act="relu"), 10))


def check_noc() -> bool:
    path = shared_file("booksim2_mesh_reference.csv")
    if path is None:
        print("NoC: skipped, BookSim2's table is not on this machine")
        return True
    noc, fine = load_imc().noc, True
    print("NoC: packet latency in cycles, uniform traffic (BookSim2 | flash)")
    with path.open(encoding="utf-8") as stream:
        for line in list(csv.reader(stream))[1:]:
            side, width, rate, theirs = int(line[0]), line[1], float(line[2]), float(line[3])
            ours = uniform_traffic_cycles(noc, side, rate)
            empty = uniform_traffic_cycles(noc, side, 0.0)
            if width == "32":
                print(f"  {side:>2} x {side:<2} rate {rate:<6} {theirs:9.2f} | {ours:8.2f}")
            fine &= np.isinf(ours) == (theirs > 200)
            fine &= rate != 0.005 or abs(empty / theirs - 1) <= 0.01
    return bool(fine)


def check_isaac() -> bool:
    hardware = load_imc()
    settings = replace(hardware.settings, router_model="isaac", chip_link=True)
    hardware = replace(hardware, settings=settings)
    chip = CHIP | {
        "crossbars_per_tile": 96, "columns_per_adc": 128, "adc_bits": 8, "buffer_kib": 64,
        "node_nm": 32,
    }  # fmt: skip
    options = hardware.options(chip)
    areas = [part.area_mm2 for part in tile_parts(hardware, options, "isaac").values()]
    powers = tile_power_mw(hardware, options, "isaac").values()
    area, power = (float(sum(np.ravel(x)[0] for x in values)) for values in (areas, powers))
    chip_area = 168 * area + hardware.link.area_mm2
    chip_power = (168 * power + hardware.link.power_mw) / 1000
    print("ISAAC (published | flash)")
    fine = True
    for what, theirs, ours in (
        ("tile, mm2", 0.372, area), ("tile, mW", 330.0, power),
        ("chip, mm2", 85.4, chip_area), ("chip, W", 65.8, chip_power),
    ):  # fmt: skip
        print(f"  {what:<10}{theirs:9.3f} | {ours:8.3f}  {100 * (ours / theirs - 1):+.2f} %")
        fine &= abs(ours / theirs - 1) <= 0.02
    return fine


def check_vgg8() -> bool:
    hardware, table, fine = load_imc(), vgg8(), True
    costs = imc_costs(table, hardware, CHIP)
    print("VGG-8, 22 nm, 5-bit converters (NeuroSim V1.3 | flash, nominal [interval])")
    for key, theirs in NEUROSIM.items():
        low, high = costs[f"{key}_low"][0], costs[f"{key}_high"][0]
        print(f"  {key:<18}{theirs:9.4g} | {costs[key][0]:8.4g} [{low:.4g}, {high:.4g}]")
    own = load_target("imc-neurosim")
    same = own.costs(table)
    print("  target imc-neurosim, its default chip (NeuroSim's options), with its interval:")
    for key, name in (("area_mm2", "area_mm2"), ("latency_ms", "latency_ms"),
                      ("dynamic_energy_mj", "energy_mj")):  # fmt: skip
        theirs = NEUROSIM[key] + (LEAKAGE_MJ if name == "energy_mj" else 0.0)
        value, low, high = (float(end[0]) for end in getattr(same, name))
        factor = max(value / theirs, theirs / value)
        fine &= factor <= STATED[key] and low <= theirs <= high and high / low <= 4.0 + 1e-9
        print(f"  {name:<18}{theirs:9.4g} | {value:8.4g}  factor {factor:.2f} "
              f"(asked: {STATED[key]:g}) [{low:.4g}, {high:.4g}]")  # fmt: skip
    leakage = imc_costs(table, load_imc("imc-neurosim"), own.chip)["leakage_mw"][0]
    print(f"  leakage, mW        {0.628781:9.4g} | {leakage:8.4g}  (low standby power)")
    for name in ("flash", hardware.settings.adc_model):
        parts = breakdown(table, hardware, CHIP, name)
        shares = {
            "ADC share of area": parts.share("area_mm2", "adc"),
            "ADC share of energy": parts.share("energy_mj", "adc"),
            "NoC share of latency": parts.share("latency_ms", "noc"),
            "NoC share of energy": parts.share("energy_mj", "router", "links"),
            "NoC share of area": parts.share("area_mm2", "router"),
            "buffer and bus share of area": parts.share("area_mm2", "buffer", "bus"),
        }
        print(f"  shares with converter '{name}' (NeuroSim where known)")
        for what, share in shares.items():
            known = NEUROSIM_SHARES.get(what)
            note = f"  ({100 * known:.0f} %)" if known else ""
            print(f"    {what:<30}{100 * share:5.1f} %{note}")
    print(f"  leakage: 0.63 mW | {costs['leakage_mw'][0]:.1f} mW with every tile on")
    print(breakdown(table, hardware, CHIP))
    return fine


def show_bound_and_speed() -> bool:
    hardware, fine = load_imc(), True
    print("Additive bound below the real placement, and designs a second on one core")
    for name in ("cifar10-add", "cifar10-concat", "cifar10-mobilenet-v2"):
        space = load_space(name)
        table = space.table(space.sample(500, np.random.default_rng(0)))
        result = {}
        for hops in ("placed", "least"):
            start = time.perf_counter()
            result[hops] = imc_costs(table, hardware, CHIP, hops)
            rate = 500 / (time.perf_counter() - start)
            print(f"  {name:<22}{hops:<8}{rate:8.0f} designs/s")
        for key in ("latency_ms", "energy_mj"):
            gap = 1 - result["least"][key] / result["placed"][key]
            fine &= bool((gap >= -1e-9).all())
            print(f"    {key}: mean {100 * gap.mean():.1f} %, largest {100 * gap.max():.1f} %")
    return fine


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    checks = (check_noc, check_isaac, check_vgg8, show_bound_and_speed)
    results = [check() for check in checks]
    for check, fine in zip(checks, results, strict=True):
        skipped = check is check_noc and shared_file("booksim2_mesh_reference.csv") is None
        print(f"{check.__name__:<22}{'skipped' if skipped else 'ok' if fine else 'MISSED'}")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
