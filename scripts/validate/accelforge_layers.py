"""The optima of flash's mapper beside AccelForge's, on six layers of two networks.

    python scripts/validate/accelforge_layers.py [--accelforge-python PYTHON]

AccelForge 1.0.467 (which needs Python 3.12 or later, and a ``dot`` on the path) finds the optimal
mapping of its own mapspace; its answers are recorded (``recorded/accelforge-layers.csv``), PYTHON
makes them anew. The chip is that of ``zigzag_networks.py``: weights in elements below a sum in a
register, inputs and outputs in a 2 MiB buffer, every tensor in DRAM. Three things are set alike:
sums have 8 bits, memories pass single bytes, and inputs come with their padding. AccelForge's
register holds four sums (of one it fails), and its time is that of the slowest part: no first tiles
and no drain, which are therefore left out of flash's here.

Limits: energy within 1 %, DRAM bytes equal where energy is least; cycles equal where they are.
Exit code 1 if one is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

from zigzag_networks import TPU_LIKE

from flash.targets.systolic.mapper import best_nest
from flash.targets.systolic.nests import Aim, Product

TABLE: Final = Path(__file__).parent / "recorded" / "accelforge-layers.csv"
#: Filters, channels, side of the output, kernel: of ResNet-18 and of MobileNet-V2.
LAYERS: Final = (
    (64, 64, 56, 3), (256, 256, 14, 3), (1000, 512, 1, 1),
    (64, 384, 14, 1), (96, 576, 14, 1), (160, 576, 7, 1),
)  # fmt: skip
CHIP: Final = replace(TPU_LIKE, sum_bytes=1, grain_bytes=1)

#: Energies of a bit in joules, DRAM's throughput in bits a cycle.
ARCHITECTURE: Final = """
arch:
  nodes:
  - !Memory
    {name: MainMemory, size: inf, leak_power: 0, area: 0, tensors: {keep: All}, actions: [
      {name: read, energy: 10.9375e-12, throughput: 64},
      {name: write, energy: 11.71875e-12, throughput: 64}]}
  - !Memory
    {name: GlobalBuffer, size: 2*1024*1024*8, leak_power: 0, area: 0,
     tensors: {keep: input | output}, actions: [
      {name: read, energy: 0.203203125e-12, throughput: inf},
      {name: write, energy: 0.184765625e-12, throughput: inf}]}
  - !Container
    {name: ProcessingElement, spatial: [
      {name: reuse_input, fanout: 32, reuse: input},
      {name: reuse_output, fanout: 32, reuse: output}]}
  - !Memory
    {name: Register, size: 128*8, leak_power: 0, area: 0, tensors: {keep: weight}, actions: [
      {name: read, energy: 0.011875e-12, throughput: inf},
      {name: write, energy: 0.011875e-12, throughput: inf}]}
  - !Memory
    {name: Accumulator, size: 32, leak_power: 0, area: 0, tensors: {keep: output}, actions: [
      {name: read, energy: 0.002625e-12, throughput: inf},
      {name: write, energy: 0.002625e-12, throughput: inf}]}
  - !Compute
    {name: MAC, leak_power: 0, area: 0,
     actions: [{name: compute, energy: 0.04e-12, throughput: 1}]}
"""
CHILD: Final = """
import json, sys, time
import accelforge as af
from accelforge.mapper import Metrics
af.set_n_parallel_jobs(1)
for path, metric in json.load(sys.stdin):
    spec = af.Spec.from_yaml("arch.yaml", path)
    spec.mapper.metrics = getattr(Metrics, metric)
    began = time.process_time()
    found = spec.map_workload_to_arch()
    seconds = time.process_time() - began
    row = found.data.iloc[0]
    dram = "Conv<SEP>action<SEP>MainMemory"
    moved = sum(float(row[name]) for name in found.data.columns if name.startswith(dram)) / 8
    print("ROW" + json.dumps({"energy_uj": float(found.energy()) * 1e6, "seconds": seconds,
          "cycles": float(found.latency()), "dram_bytes": moved}), flush=True)
"""


def workload(filters: int, channels: int, side: int, kernel: int) -> str:
    """A layer in AccelForge's form; 1 x 1 kernels as products of matrices."""
    reads, writes, sizes = "[c, m]", "[k, m]", f"M: {side * side}"
    weights, space = "[k, c]", ""
    if kernel > 1:
        whole = side + kernel - 1
        reads, writes = "{C: c, H: y + r, V: x + s}", "[k, y, x]"
        sizes = f"Y: {side}, X: {side}, H: {whole}, V: {whole}"
        weights = "[k, c, r, s]"
        space = f"iteration_space_shape: [0 <= r < {kernel}, 0 <= s < {kernel}]"
    return f"""
workload:
  rank_sizes: {{K: {filters}, C: {channels}, {sizes}}}
  bits_per_value: {{All: 8}}
  einsums:
  - name: Conv
    tensor_accesses:
    - {{name: I, projection: {reads}}}
    - {{name: W, projection: {weights}}}
    - {{name: O, projection: {writes}, output: True}}
    renames: {{input: I, output: O, weight: W}}
    {space}
"""


def record(python: str, table: Path) -> None:
    """Search every layer with AccelForge and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "arch.yaml").write_text(ARCHITECTURE)
        asked = []
        for number, layer in enumerate(LAYERS):
            (Path(folder) / f"{number}.yaml").write_text(workload(*layer))
            asked += [(f"{number}.yaml", metric) for metric in ("ENERGY", "LATENCY")]
        found = subprocess.run(
            [python, "-c", CHILD], input=json.dumps(asked), capture_output=True, text=True,
            check=False, cwd=folder,
        )  # fmt: skip
    if found.returncode:
        raise SystemExit(f"AccelForge failed: {found.stderr.strip().splitlines()[-1]}")
    answers = [json.loads(line[3:]) for line in found.stdout.splitlines() if line[:3] == "ROW"]
    names = ("filters", "channels", "side", "kernel")
    rows: list[dict[str, Any]] = []
    for number, answer in enumerate(answers):
        sizes = dict(zip(names, LAYERS[number // 2], strict=True))
        rows.append(sizes | {"aim": ("energy", "latency")[number % 2]} | answer)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def compare(table: Path = TABLE) -> bool:
    """Print the table; whether every limit holds."""
    good = True
    print("   K    C  out k  least       energy uJ   own   DRAM bytes   own     cycles   own"
          "  seconds   own")  # fmt: skip
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        filters, channels, side, kernel = (
            int(row[name]) for name in ("filters", "channels", "side", "kernel")
        )
        whole = side + kernel - 1
        sizes = Product(1, filters, channels, side, side, kernel, kernel, 1, whole, whole)
        aim: Aim = "energy" if row["aim"] == "energy" else "latency"
        best_nest.cache_clear()
        began = time.process_time()
        _, own = best_nest(sizes, CHIP, aim)
        seconds = time.process_time() - began
        energy = float(own.energy_pj) / 1e6 / float(row["energy_uj"])
        moved = float(own.dram_bytes) / float(row["dram_bytes"])
        cycles = max(own.arithmetic, float(own.dram_cycles)) / float(row["cycles"])
        fine = abs(cycles - 1) < 1e-6 if aim == "latency" else max(
            abs(energy - 1) / 0.01, abs(moved - 1) / 1e-6
        ) <= 1  # fmt: skip
        good = good and fine
        print(
            f"{filters:4d}{channels:5d}{side:5d}{kernel:2d}  {aim:8s}"
            f"{float(row['energy_uj']):12.2f}{energy:7.3f}{float(row['dram_bytes']):12,.0f}{moved:7.3f}"
            f"{float(row['cycles']):10,.0f}{cycles:7.3f}{float(row['seconds']):8.2f}{seconds:7.3f}"
            f"{'' if fine else '  MISSED'}"
        )
    return good


def main() -> int:
    """Print the table; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accelforge-python", default=os.environ.get("ACCELFORGE_PYTHON"))
    parser.add_argument("--table", type=Path, default=TABLE, help="where its answers are kept")
    options = parser.parse_args()
    if options.accelforge_python:
        record(options.accelforge_python, options.table)
    return 0 if compare(options.table) else 1


if __name__ == "__main__":
    sys.exit(main())
