"""Cycles and SRAM accesses of the systolic model against SCALE-Sim 3.0.0.

    python scripts/validate/systolic.py [--scalesim-python PATH] [--products N]

1. The recorded runs: 31 matrix products and the golden reports of SCALE-Sim's own tests.
2. Its shipped topologies, whole, in every dataflow.
3. Fresh products, side by side, where ``--scalesim-python`` (or SCALESIM_PYTHON) is the
   Python of an environment with ``pip install scalesim==3.0.0 numpy==1.26.4 'pandas<3'``.
   SCALE-Sim traces every access, so the products are small.

Third-party data lie in ``shared/data`` beside the repository (or in FLASH_SHARED); what is
absent is skipped, and said. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flash.spaces.network import GraphEmitter
from flash.targets.systolic.gemm import (
    PRODUCT_DATAFLOWS,
    Array,
    Gemm,
    gemm_cycles,
    gemm_of,
    gemm_traffic,
)

Product = tuple[int, int, int]

_CONFIG = """\
[general]
run_name = run
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {cols}
IfmapSramSzkB = 512
FilterSramSzkB = 512
OfmapSramSzkB = 512
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = 10
Dataflow = {dataflow}
MemoryBanks = 1
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


@dataclass(frozen=True)
class Run:
    """What SCALE-Sim reports of one product."""

    cycles: int
    input_reads: int
    weight_reads: int
    output_writes: int


def shared_folder() -> Path:
    """The folder of third-party data, beside the repository or in FLASH_SHARED."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("FLASH_SHARED", beside))


def scalesim_runs(
    python: str, lines: Sequence[str], kind: str, rows: int, cols: int, dataflow: str
) -> tuple[list[Run], float]:
    """SCALE-Sim's report of each line of a table of ``kind`` (gemm, conv), and the seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        topology, config = folder / "layers.csv", folder / "scale.cfg"
        topology.write_text("\n".join(["header", *lines, ""]), encoding="utf-8")
        config.write_text(_CONFIG.format(rows=rows, cols=cols, dataflow=dataflow), encoding="utf-8")
        # Any table serves as the layout file while custom layouts are off, but one is asked for.
        files = ["-t", str(topology), "-l", str(topology), "-c", str(config), "-p", str(folder)]
        start = time.perf_counter()
        done = subprocess.run(
            [python, "-m", "scalesim.scale", *files, "-i", kind, "-s", "N"],
            capture_output=True, text=True, check=False, cwd=folder, env={"PATH": os.defpath},
        )  # fmt: skip
        seconds = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"SCALE-Sim failed: {done.stderr.strip().splitlines()[-1]}")
        compute = _table(folder / "run" / "COMPUTE_REPORT.csv")
        access = _table(folder / "run" / "DETAILED_ACCESS_REPORT.csv")
    runs = [
        Run(
            int(a["Total Cycles"]) - int(a["Stall Cycles"]),
            int(b["SRAM IFMAP Reads"]),
            int(b["SRAM Filter Reads"]),
            int(b["SRAM OFMAP Writes"]),
        )
        for a, b in zip(compute, access, strict=True)
    ]
    return runs, seconds


def our_run(product: Product, rows: int, cols: int, dataflow: str) -> Run:
    """The same from the closed form, with buffers that hold everything."""
    m, n, k = product
    flow = PRODUCT_DATAFLOWS.index(dataflow)
    huge = 1e15
    array = Array(rows, cols, flow, huge, huge, huge, 1.0, 4.0)
    moved = gemm_traffic(Gemm(m, n, k, 1, m * k, n * k), array)
    writes = int(moved.sum_writes)
    if dataflow == "os":
        # SCALE-Sim counts R + C more in each fold, though an output is written only once.
        writes += -(-m // rows) * -(-n // cols) * (rows + cols)
    cycles = int(gemm_cycles(m, n, k, rows, cols, flow))
    return Run(cycles, int(moved.input_reads), int(moved.weight_reads), writes)


def topology_layers(path: Path) -> Iterator[tuple[str, Product]]:
    """Name and product of each layer of a SCALE-Sim convolution table."""
    text = path.read_text(encoding="utf-8-sig").replace("\t", ",")
    for line in text.splitlines()[1:]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) < 8 or not all(cell.isdigit() for cell in cells[1:8]):
            continue
        height, width, window_height, window_width, channels, filters, stride = map(int, cells[1:8])
        # SCALE-Sim rounds the output size up, unlike every framework.
        down, across = -(-(height - window_height) // stride), -(-(width - window_width) // stride)
        m, k = (down + 1) * (across + 1), window_height * window_width * channels
        yield cells[0], (m, filters, k)


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        rows = csv.DictReader(stream, skipinitialspace=True)
        return [{k.strip(): v for k, v in row.items() if k} for row in rows]


# ------------------------------------------------------------------------------- the checks
def check_recorded(folder: Path) -> int:
    """Recorded products and golden reports; the number that differ."""
    rows = _table(folder / "scalesim_v3_gemm_reference.csv")
    wrong = 0
    for row in rows:
        product = (int(row["M"]), int(row["N"]), int(row["K"]))
        ours = our_run(product, int(row["rows"]), int(row["cols"]), row["dataflow"])
        wrong += ours.cycles != int(row["scalesim_total_cycles"])
    print(f"recorded products         {len(rows) - wrong} of {len(rows)} equal")
    golden: dict[str, tuple[Product, str]] = {
        "general__golden_trace_calc": ((3025, 96, 363), "ws"),
        "general__golden_trace_user_os": ((256, 128, 256), "os"),
        "general__golden_trace_user_ws": ((256, 128, 256), "ws"),
        "general__golden_trace_user_is": ((256, 128, 256), "is"),
    }
    for name, (product, dataflow) in golden.items():
        report = _table(folder / "scalesim_golden" / f"test__{name}__COMPUTE_REPORT.csv")[0]
        expected = int(report["Total Cycles"]) - int(report["Stall Cycles"])
        ours = our_run(product, 32, 32, dataflow)
        equal = ours.cycles == expected
        wrong += not equal
        print(f"{name:30s} {expected:>8d} {ours.cycles:>8d} {'equal' if equal else 'DIFFERS'}")
    return wrong


def check_topologies(folder: Path) -> None:
    """Every shipped table, 32 x 32, three dataflows: million cycles and utilisation."""
    print(
        f"\n{'topology':28s} {'layers':>6s} {'GMAC':>9s}"
        + "".join(f"{d:>18s}" for d in PRODUCT_DATAFLOWS)
    )
    for path in sorted((folder / "scalesim_topologies").glob("*.csv")):
        layers = np.array([product for _, product in topology_layers(path)], dtype=np.int64)
        m, n, k = layers.T
        macs = int((m * n * k).sum())
        line = f"{path.stem:28s} {len(layers):6d} {macs / 1e9:9.2f}"
        for flow in range(len(PRODUCT_DATAFLOWS)):
            cycles = int(np.sum(gemm_cycles(m, n, k, 32, 32, flow)))
            line += f"{cycles / 1e6:11.2f} {macs / cycles / 1024:5.1%}"
        print(line)


def check_fresh(python: str, count: int, seed: int = 20260714) -> int:
    """Fresh products and convolutions, each dataflow, three arrays; the number that differ."""
    rng = np.random.default_rng(seed)
    wrong = done = 0
    theirs = ours = 0.0
    for rows, cols in ((8, 8), (16, 32), (5, 3)):
        for flow, dataflow in enumerate(PRODUCT_DATAFLOWS):
            drawn = rng.integers(1, 160, size=(-(-count // 9), 3)).tolist()
            products: list[Product] = [(m, n, k) for m, n, k in drawn]
            lines = [f"p{i},{m},{n},{k}," for i, (m, n, k) in enumerate(products)]
            runs, seconds = scalesim_runs(python, lines, "gemm", rows, cols, dataflow)
            theirs += seconds
            # Timed as it is used: all products at once, averaged over repetitions.
            m, n, k = np.array(products).T
            start = time.perf_counter()
            for _ in range(100):
                gemm_cycles(m, n, k, rows, cols, flow)
            ours += (time.perf_counter() - start) / 100
            convolutions, lines = fresh_convolutions(rng)
            runs += scalesim_runs(python, lines, "conv", rows, cols, dataflow)[0]
            for product, run in zip(products + convolutions, runs, strict=True):
                own = our_run(product, rows, cols, dataflow)
                done += 1
                wrong += own != run
                if own != run:
                    print(f"{dataflow} {rows}x{cols} M,N,K={product}: SCALE-Sim {run}, ours {own}")
    print(f"\nfresh products            {done - wrong} of {done} equal (cycles, SRAM accesses)")
    print(
        f"time of the GEMMs         SCALE-Sim {theirs:.1f} s, ours {ours * 1e3:.2f} ms: "
        f"{theirs / ours:,.0f}x"
    )
    return wrong


def fresh_convolutions(rng: np.random.Generator) -> tuple[list[Product], list[str]]:
    """Two small convolutions: the products ``gemm_of`` makes of them, and SCALE-Sim's lines."""
    products: list[Product] = []
    lines = []
    for stride in (1, 2):
        window, channels, filters = (int(rng.integers(1, top)) for top in (4, 9, 25))
        size = window + stride * int(rng.integers(2, 6))
        emitter = GraphEmitter()
        image = emitter.source(channels, size, size)
        output = emitter.conv(image, filters, window, stride, pad=0)
        gemm = gemm_of(emitter.network(image, output).layers[0])
        products.append((int(gemm.m), int(gemm.n), int(gemm.k)))
        lines.append(f"c{stride},{size},{size},{window},{window},{channels},{filters},{stride},")
    return products, lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scalesim-python", default=os.environ.get("SCALESIM_PYTHON"))
    parser.add_argument("--products", type=int, default=27, help="fresh products (%(default)s)")
    options = parser.parse_args()
    folder = shared_folder() / "data" / "accelerators"
    wrong = 0
    if folder.is_dir():
        wrong += check_recorded(folder)
        check_topologies(folder)
    else:
        print("SKIPPED recorded runs and topologies: no shared/data/accelerators on this machine")
    if options.scalesim_python:
        wrong += check_fresh(options.scalesim_python, options.products)
    else:
        print("SKIPPED fresh products: no SCALE-Sim (give --scalesim-python or SCALESIM_PYTHON)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
