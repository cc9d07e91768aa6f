"""Systolic latency and DRAM traffic beside ZigZag's best mappings, layer by layer.

    python scripts/validate/zigzag.py --zigzag-python PYTHON [--results FILE.json]

PYTHON has ``zigzag-dse`` 3.9.1 (pip install zigzag-dse six), which is no dependency of flash.
ZigZag's own ``tpu_like`` chip (32 x 32 weight-stationary multipliers, 2 MiB SRAM, 8 bytes of
DRAM a cycle) is rebuilt from ``hw_profiles/systolic.toml``; ZigZag searches the best temporal
mapping of each convolution for latency (its LOMA engine, 10 to 60 s a layer), flash evaluates
formulas. The limits were set before the first run: latency 0.95 to 1.5 times ZigZag's, Spearman
0.95, DRAM bytes within 10 %. Traffic holds to the byte; latency misses, for two named reasons:

- ZigZag waits for the whole input of a layer before it computes (column "loading"), flash for
  the first fold only and then loads behind the computation. Without that wait ("computing")
  flash is never faster, as it must be:
- SCALE-Sim, whose cycles flash equals, fills and drains the array for every fold; ZigZag
  does not count that. It weighs most on small maps (7 x 7, 14 x 14) and 1 x 1 kernels.

Exit code 1 if DRAM bytes differ by over 10 % or flash beats ZigZag's computing time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from flash.spaces.network import GraphEmitter
from flash.targets.systolic.costs import layer_reports
from flash.targets.systolic.profile import load_systolic

#: Channels in, channels out, side of the output, kernel, stride.
LAYERS = (
    (32, 32, 32, 3, 1), (64, 64, 28, 3, 1), (64, 128, 28, 3, 2), (128, 128, 28, 3, 1),
    (256, 256, 14, 3, 1), (64, 256, 28, 1, 1), (256, 64, 28, 1, 1), (512, 128, 7, 1, 1),
    (48, 40, 16, 3, 1), (96, 24, 14, 5, 1),
)  # fmt: skip

CHIP = {
    "rows": 32, "cols": 32, "buffer_kib": 2048, "dataflow": 1, "bits": 8, "frequency_mhz": 800,
}  # fmt: skip
#: Of ZigZag's tpu_like: one 64-bit word of DRAM a cycle.
BYTES_PER_CYCLE = 8

#: Runs in ZigZag's Python: a layer on standard input, its figures on standard output.
CHILD = """
import contextlib, json, logging, os, sys, zigzag
from zigzag.api import get_hardware_performance_zigzag
logging.disable(logging.CRITICAL)
inputs, out = os.path.join(os.path.dirname(zigzag.__file__), "inputs"), sys.argv[1]
layer = json.load(sys.stdin)
with contextlib.redirect_stdout(sys.stderr):
    _, latency, found = get_hardware_performance_zigzag(
        [layer], os.path.join(inputs, "hardware", "tpu_like.yaml"),
        os.path.join(inputs, "mapping", "default.yaml"), opt="latency", lpf_limit=5,
        dump_folder=out, loma_show_progress_bar=False)
model = found[0][1][0][0]
words = sum(int(v) for levels in model.memory_word_access.values()
            for v in levels[-1].data.values())
print(json.dumps({"latency": latency, "loading": model.data_onloading_cycle,
                  "dram_words": words}))
"""


def zigzag_layer(
    channels: int, filters: int, side: int, kernel: int, stride: int
) -> dict[str, object]:
    """The convolution in ZigZag's form, 8 bits, 16-bit partial sums."""
    size = side * stride
    pad = (kernel - 1) // 2
    return {
        "id": 0, "operator_type": "Conv",
        "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
        "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
        "loop_dims": ["B", "K", "G", "OX", "OY", "C", "FX", "FY"],
        "loop_sizes": [1, filters, 1, side, side, channels, kernel, kernel],
        "operand_precision": {"W": 8, "I": 8, "O": 16, "O_final": 8},
        "operand_source": {"I": 0, "W": 0},
        "pr_loop_dims": ["IX", "IY"], "pr_loop_sizes": [size, size],
        "padding": [[pad, pad], [pad, pad]],
    }  # fmt: skip


def run_zigzag(python: str, sizes: tuple[int, int, int, int, int]) -> dict[str, float]:
    """Cycles and 8-byte DRAM words of ZigZag's best mapping, and the seconds it took."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = subprocess.run(
            [python, "-c", CHILD, folder],
            input=json.dumps(zigzag_layer(*sizes)), capture_output=True, text=True, check=False,
        )  # fmt: skip
    if found.returncode:
        raise SystemExit(f"ZigZag failed: {found.stderr.strip().splitlines()[-1]}")
    result: dict[str, float] = json.loads(found.stdout)
    return result | {"seconds": time.perf_counter() - began}


def ours(sizes: tuple[int, int, int, int, int]) -> tuple[float, float]:
    """Cycles and DRAM bytes of the same layer."""
    channels, filters, side, kernel, stride = sizes
    e = GraphEmitter()
    source = e.source(channels, side * stride, side * stride)
    output = e.conv(source, filters, kernel, stride, norm=False, act="")
    hardware = replace(
        load_systolic("systolic"),
        dram_gb_s=BYTES_PER_CYCLE * CHIP["frequency_mhz"] / 1e3,
        keeps_activations=False,
    )
    (layer,) = layer_reports(e.network(source, output).layers, hardware, CHIP)
    return layer.cycles, layer.dram_bytes


def compare(python: str, results: Path | None) -> bool:
    """Print the table; whether every limit holds."""
    stored = json.loads(results.read_text()) if results and results.exists() else {}
    print(
        "   in  out side k s     ZigZag  loading computing      ours  ratio    DRAM KB   ours"
        "  ratio      speed"
    )
    latencies, computing, traffic = [], [], []
    for sizes in LAYERS:
        key = "x".join(map(str, sizes))
        if key not in stored:
            stored[key] = run_zigzag(python, sizes)
            if results:
                results.write_text(json.dumps(stored, indent=1))
        theirs = stored[key]
        began = time.perf_counter()
        cycles, dram_bytes = ours(sizes)
        speed = theirs["seconds"] / (time.perf_counter() - began)
        words = theirs["dram_words"] * BYTES_PER_CYCLE
        latencies.append((theirs["latency"], cycles))
        computing.append(cycles / (theirs["latency"] - theirs["loading"]))
        traffic.append(dram_bytes / words)
        print(
            f"{sizes[0]:5d}{sizes[1]:5d}{sizes[2]:5d}{sizes[3]:2d}{sizes[4]:2d}"
            f"{theirs['latency']:11,.0f}{theirs['loading']:9,.0f}"
            f"{theirs['latency'] - theirs['loading']:10,.0f}"
            f"{cycles:10,.0f}{cycles / theirs['latency']:7.2f}"
            f"{words / 1e3:11,.1f}{dram_bytes / 1e3:7,.1f}{traffic[-1]:7.2f}{speed:10,.0f}x"
        )
    both = np.array(latencies)
    ratios = both[:, 1] / both[:, 0]
    rank = float(spearmanr(*both.T)[0])
    within = ratios.min() >= 0.95 and ratios.max() <= 1.5 and rank >= 0.95
    good = bool(max(abs(t - 1) for t in traffic) <= 0.1 and min(computing) >= 1)
    print(
        f"latency {ratios.min():.2f} to {ratios.max():.2f} of ZigZag's, Spearman {rank:.3f}: "
        f"{'ok' if within else 'MISSED (reasons above)'}\n"
        f"latency {min(computing):.2f} to {max(computing):.2f} of ZigZag's computing, DRAM bytes "
        f"{min(traffic):.2f} to {max(traffic):.2f}: {'ok' if good else 'MISSED'}"
    )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zigzag-python", default=os.environ.get("ZIGZAG_PYTHON"))
    parser.add_argument("--results", type=Path, help="keep ZigZag's figures here, and resume")
    options = parser.parse_args()
    if not options.zigzag_python:
        print("give --zigzag-python, a Python with zigzag-dse and six", file=sys.stderr)
        return 2
    return 0 if compare(options.zigzag_python, options.results) else 1


if __name__ == "__main__":
    sys.exit(main())
