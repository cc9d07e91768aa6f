"""Every check of the accelerator models in one table.

    python scripts/validate/accelerators.py [--scalesim-python PYTHON] [--zigzag-python PYTHON]
        [--hwcomponents-python PYTHON] [--verbose]

Runs the checks of imc.py, systolic.py, systolic_chips.py, chips.py, zigzag.py, zigzag_networks.py,
accelforge_layers.py and components.py and prints what each was held against, its limit, and
whether it held it. What the checks themselves print comes first with --verbose.
Third-party data lie in ``shared/data/accelerators`` beside the repository (or in FLASH_SHARED);
SCALE-Sim 3.0.0, ZigZag 3.9.1 and hwcomponents 1.0.114 each in an environment of its own. What is
absent is skipped, and said. Exit code 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import accelforge_layers
import chips
import components
import imc
import systolic
import systolic_chips
import zigzag
import zigzag_networks

Check = tuple[str, str, Callable[[], bool], str]


def checks(
    scalesim: str | None, zigzag_python: str | None, hwcomponents: str | None
) -> list[Check]:
    """Name, limit, the check, and why it cannot run (empty if it can)."""
    folder = systolic.shared_folder() / "data" / "accelerators"
    data = "" if folder.is_dir() else "no shared/data/accelerators"
    runs = "" if scalesim else "no SCALE-Sim (--scalesim-python)"
    mapper = "" if zigzag_python else "no ZigZag (--zigzag-python)"
    parts = "" if hwcomponents else "no hwcomponents (--hwcomponents-python)"
    python = scalesim or ""
    return [
        ("imc: mesh against BookSim2", "1 % at zero load, same saturation", imc.check_noc, data),
        ("imc: ISAAC's tile and chip", "2 % of area and power", imc.check_isaac, ""),
        ("imc: VGG-8 against DNN+NeuroSim", "area, latency, energy x1.5", imc.check_vgg8, ""),
        ("imc: additive bound", "never above the placement", imc.show_bound_and_speed, ""),
        ("systolic: 31 recorded products", "equal to SCALE-Sim 3.0.0",
         lambda: systolic.check_recorded(folder) == 0, data),
        ("systolic: shipped topologies", "whole, three dataflows",
         lambda: _done(systolic.check_topologies, folder), data),
        ("systolic: fresh products, convs", "equal to SCALE-Sim 3.0.0",
         lambda: systolic.check_fresh(python, 27) == 0, runs),
        ("systolic: NVDLA, leave one out", "10 % of area and power", systolic_chips.check_nvdla,
         data),
        ("systolic: SRAM against CACTI 7", "12 % of area, 64-bit port", systolic_chips.check_cacti,
         data),
        ("systolic: Eyeriss, layer by layer", "time 10 %, power 15 %, DRAM x1.5",
         systolic_chips.check_eyeriss, ""),
        ("systolic: chips left out by kind", "profiles hold what the chips give",
         chips.check_errors, ""),
        ("systolic: ZigZag's best mappings", "DRAM bytes 10 %, time above its own",
         lambda: zigzag.compare(zigzag_python or "", None), mapper),
        ("mapper: ZigZag, two networks", "10 % of cycles, energy; as good",
         zigzag_networks.compare, ""),
        ("mapper: AccelForge, six layers", "energy 1 %, DRAM and cycles equal",
         accelforge_layers.compare, ""),
        ("parts: hwcomponents, run fresh", "SRAM area 12 %, converters 2 %",
         lambda: components.compare(hwcomponents or ""), parts),
    ]  # fmt: skip


def _done(show: Callable[[Path], None], folder: Path) -> bool:
    show(folder)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scalesim-python", default=os.environ.get("SCALESIM_PYTHON"))
    parser.add_argument("--zigzag-python", default=os.environ.get("ZIGZAG_PYTHON"))
    parser.add_argument("--hwcomponents-python", default=os.environ.get("HWCOMPONENTS_PYTHON"))
    parser.add_argument("--verbose", action="store_true", help="print what the checks print")
    options = parser.parse_args()
    lines, missed = [], 0
    pythons = options.scalesim_python, options.zigzag_python, options.hwcomponents_python
    for name, limit, check, absent in checks(*pythons):
        began, said = time.perf_counter(), io.StringIO()
        if absent:
            outcome = f"skipped: {absent}"
        else:
            with contextlib.redirect_stdout(said):
                held = check()
            outcome = "ok" if held else "MISSED"
            missed += not held
        if options.verbose and said.getvalue():
            print(f"--- {name}\n{said.getvalue()}")
        lines.append(f"{name:<34}{limit:<38}{time.perf_counter() - began:7.1f} s  {outcome}")
    print(f"{'check':<34}{'limit':<38}{'time':>9}  result")
    print("\n".join(lines))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
