"""``hw_profiles/jetson-nano.toml`` from 150 classifiers of timm timed on a Jetson Nano.

    python scripts/fit_jetson.py [--cache DIR] [--draws N] [--networks N] [--write]

Latencies: Deeplite/deeplite-torch-zoo, ``results/clsbench`` (Apache-2.0), ONNX Runtime on the CPU
(four Cortex-A57) and on the GPU. A seeded 150 of the 432 in ``../shared/data/timm_boards`` are
built by timm without trained weights and exported; ``--cache`` keeps the graphs (weights left out,
25 MB), which take ten minutes. Printed are errors of fits to 25 of them on the others, and of fits
to 25 convolutional networks on the transformers. ``--write`` writes the profile, fitted to all.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "validate"))

from flash.fitting.fitted import quality  # noqa: E402
from flash.fitting.learning import Learned, learn  # noqa: E402
from flash.fitting.prior import unknown_prior  # noqa: E402
from flash.fitting.structure import Structure  # noqa: E402
from flash.spaces.network import Network  # noqa: E402
from flash.targets.processor.profile import (  # noqa: E402
    NO_ENERGY,
    Device,
    Profile,
    Provenance,
    Runtime,
)  # fmt: skip
from flash.targets.processor.profile_file import write_profile  # noqa: E402

DATA = ROOT.parent / "shared" / "data" / "timm_boards" / "jetson_nano_ort.csv.gz"
SOURCE = "Deeplite/deeplite-torch-zoo @e4c8ea6 results/clsbench (Apache-2.0); networks of timm"
COLUMNS = {"ort-cpu": "jetson_nano_cpu_ort_ms", "ort-cuda": "jetson_nano_gpu_ort_ms"}
#: Networks of the profile, chosen before anything was fitted: the first of a permutation of seed 0.
CHOSEN, FITTED = 150, 25
#: onnxruntime on Arm: what depends on the input, activations merged only where it has an operator.
CPU = Structure("fed", "ort", 4)
#: Tensors of more elements lose their numbers in the cache.
SMALL = 1024
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Board:
    """The networks that could be built, with their kinds and latencies (ms) by runtime."""

    networks: Sequence[Network]
    kinds: NDArray[np.str_]
    latency_ms: dict[str, Floats]


def chosen() -> list[dict[str, str]]:
    """The rows of the table that are used."""
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [rows[k] for k in np.random.default_rng(0).permutation(len(rows))[:CHOSEN]]


def without_weights(path: Path) -> None:
    """Leave the large tensors' numbers out of a model: only their sizes are read."""
    import onnx  # noqa: PLC0415 (an extra)

    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims)) > SMALL:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="weights.bin")
    onnx.save(model, path)


def exporter() -> Any:
    """A function that writes the graph of one of timm's networks."""
    import torch  # noqa: PLC0415 (an extra)
    from any_model import _StandIn  # noqa: PLC0415

    sys.meta_path.append(_StandIn())
    import timm  # noqa: PLC0415 (after what stands in for torchvision)

    def export(name: str, side: int, path: Path) -> None:
        module: Any = timm.create_model(name, pretrained=False, exportable=True)
        if module.default_cfg["input_size"][-1] != side:
            with contextlib.suppress(TypeError):  # which takes any side
                module = timm.create_model(name, pretrained=False, img_size=side)
        part: Any
        for part in module.modules():
            if hasattr(part, "fused_attn"):
                part.fused_attn = False
        image = torch.zeros(1, 3, side, side)
        options: dict[str, Any] = {
            "dynamo": False,
            "do_constant_folding": False,
            "opset_version": 17,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module.eval().requires_grad_(False), (image,), path, **options)
        without_weights(path)

    return export


def board(cache: Path, most: int = CHOSEN) -> Board:
    """Export what the cache lacks, and read all, or the first ``most`` of them."""
    from flash.backends import read_onnx  # noqa: PLC0415 (an extra)

    export: Any = None
    networks, rows = [], []
    for number, row in enumerate(chosen()[:most], 1):
        path = cache / f"{row['model']}.onnx"
        try:
            if not path.exists():
                export = export or exporter()
                export(row["model"], int(row["image_size"]), path)
            networks.append(read_onnx(path))
            rows.append(row)
        # timm has renamed some since, and torch's exporter raises whatever it likes.
        except Exception as error:
            print(f"left out: {row['model']}: {str(error)[:100]}", file=sys.stderr)
        if number % 25 == 0:
            print(f"{number} of {most} networks read", file=sys.stderr)
    times = {name: np.array([float(row[c]) for row in rows]) for name, c in COLUMNS.items()}
    return Board(networks, np.array([row["kind"] for row in rows]), times)


def fitted(b: Board, runtime: str, rows: NDArray[np.intp]) -> Learned:
    """A fit to some of the networks."""
    return learn(
        [b.networks[int(k)] for k in rows],
        [str(b.kinds[int(k)]) for k in rows],
        b.latency_ms[runtime][rows],
        None,
        unknown_prior(),
        known=CPU if runtime == "ort-cpu" else None,
        baselines=False,
    )


def judge(b: Board, runtime: str, draws: int) -> None:
    """Errors of fits to 25 on the others, by kind, and from one kind to the other."""
    truth, every = b.latency_ms[runtime], np.arange(len(b.networks))
    figures = []
    for seed in range(draws):
        order = np.random.default_rng(seed).permutation(every)
        few, rest = order[:FITTED], order[FITTED:]
        found = fitted(b, runtime, few)
        predicted = found.latency_ms([b.networks[int(k)] for k in rest])
        all_, interval = quality(truth[rest], predicted), found.interval
        ratio = truth[rest] / predicted
        error = 100 * np.abs(1 / ratio - 1)
        kinds = [float(np.median(error[b.kinds[rest] == k])) for k in ("cnn", "transformer")]
        covered = float(np.mean((ratio >= interval.low) & (ratio <= interval.high)))
        figures.append([all_["median_error_percent"], all_["spearman"], *kinds, covered])
    table = np.array(figures)
    names = ("median error %", "Spearman", "cnn %", "transformer %", "inside")
    for name, column in zip(names, table.T, strict=True):
        ends = f"{column.min():.4g} to {column.max():.4g}"
        print(f"{runtime}: 25 fitted, {name:16s} median of draws {np.median(column):.4g} ({ends})")
    cnn, others = (np.flatnonzero(b.kinds == k) for k in ("cnn", "transformer"))
    for seed in range(min(draws, 5)):
        found = fitted(b, runtime, np.random.default_rng(seed).permutation(cnn)[:FITTED])
        predicted = found.latency_ms([b.networks[int(k)] for k in others])
        ratio, i = truth[others] / predicted, found.interval
        inside = float(np.mean((ratio >= i.outside_low) & (ratio <= i.outside_high)))
        error = 100 * float(np.median(np.abs(1 / ratio - 1)))
        line = f"transformers: median error {error:.1f} %, {inside:.0%} inside"
        print(f"{runtime}: 25 convolutional fitted, {line}")


def runtime_of(name: str, found: Learned) -> Runtime:
    """Its part of the profile."""
    main, *others = found.variants
    return Runtime(
        name=name,
        framework="onnxruntime, CPU" if name == "ort-cpu" else "onnxruntime, GPU",
        version="not stated",
        threads=0,
        clock_mhz=0.0,
        precision="fp32",
        executes=main.executes,
        fusion=main.fusion,
        lanes=main.lanes,
        alternatives=tuple(others),
        coefficients=main.coefficients,
        interval=found.interval,
        energy=NO_ENERGY,
        provenance=Provenance(
            how="fitted",
            networks=CHOSEN,
            held_out="10 folds; outside, transformers and the others left out",
            **found.figures,
            date="2024",
            sources=(SOURCE, f"a seeded {CHOSEN} of 432 (scripts/fit_jetson.py)"),
        ),
    )


def profile(b: Board) -> Profile:
    """Fitted to all that could be built."""
    runtimes = {}
    for name in COLUMNS:
        found = fitted(b, name, np.arange(len(b.networks)))
        own = runtime_of(name, found)
        provenance = replace(own.provenance, networks=len(b.networks))
        runtimes[name] = replace(own, provenance=provenance)
        print(name, found.figures, found.kinds, found.coverage, found.coverage_of_kinds)
    device = Device(
        soc="Tegra X1",
        cpu="4x Cortex-A57; Maxwell GPU of 128 cores",
        cores=4,
        clock_mhz=1430.0,
        peak_gflops=0.0,
        memory_gb_s=25.6,
        sources=("https://developer.nvidia.com/embedded/jetson-nano",),
    )
    return Profile(
        "jetson-nano",
        "NVIDIA Jetson Nano: classifiers of timm with ONNX Runtime",
        "processor",
        device,
        runtimes,
        "ort-cpu",
    )


def main() -> int:
    """Print the errors; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", metavar="DIR", help="graphs are kept there")
    parser.add_argument("--draws", type=int, default=5, help="fits to 25 networks (%(default)s)")
    parser.add_argument(
        "--networks", type=int, default=CHOSEN, metavar="N", help="only the first N (%(default)s)"
    )
    parser.add_argument("--write", action="store_true", help="write hw_profiles/jetson-nano.toml")
    options = parser.parse_args()
    if options.write and options.networks != CHOSEN:
        parser.error("a profile is fitted to all networks: --write goes without --networks")
    if not DATA.exists():
        print(f"no {DATA}: the measurements are needed", file=sys.stderr)
        return 4
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(options.cache or folder)
        cache.mkdir(parents=True, exist_ok=True)
        found = board(cache, options.networks)
    print(f"{len(found.networks)} networks: {np.sum(found.kinds == 'cnn')} convolutional")
    for runtime in COLUMNS if options.draws else ():
        judge(found, runtime, options.draws)
    if options.write:
        path = ROOT / "hw_profiles" / "jetson-nano.toml"
        write_profile(profile(found), path, "Written by scripts/fit_jetson.py; do not edit.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
