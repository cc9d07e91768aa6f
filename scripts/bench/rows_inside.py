"""The work of the rows of ``all.py`` that count their own seconds, imports left out.

    python scripts/bench/rows_inside.py NAME FOLDER

``prepare:NAME`` in its place makes what the row reads, so that this does not count. Each row
prints one JSON object: ``cpu_s``, and what else it has to tell.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

Told = dict[str, float]

#: Three cells of 10^5 options each: 10^15 designs.
_CELL_OPTIONS = 100_000
#: Designs that ``estimate_100k`` and ``estimate_million`` read.
_DESIGNS = {"estimate_100k": 100_000, "estimate_million": 1_000_000}
_FRONT = 50_000


def _timed(work: Callable[[], object]) -> Told:
    """CPU seconds of the first run: nothing is warm for a user either."""
    began = time.process_time()
    work()
    return {"cpu_s": time.process_time() - began}


# ------------------------------------------------------------------------------ exact fronts
def _exact(names: list[str]) -> Told:
    from flash.evaluation import separable
    from flash.optimize import exact_front, objective
    from flash.spaces.space import load_space
    from flash.targets import load_target

    problem = separable(load_space("cifar10-concat"), load_target("rpi3b"), "nn_degree")
    objectives = [objective(name) for name in names]
    exact_front(problem, objectives[:2])  # its imports
    began = time.process_time()
    found = exact_front(problem, objectives)
    seconds = time.process_time() - began
    return {"cpu_s": seconds, "designs": len(found), "us_a_design": 1e6 * seconds / len(found)}


def exact_three() -> Told:
    return _exact(["nn_degree", "latency_ms", "memory_kb"])


def exact_four() -> Told:
    return _exact(["nn_degree", "latency_ms", "weight_kb", "activation_kb"])


def exact_huge() -> Told:
    """Three cells without a common variable, each a score of two costs with some noise."""
    import numpy as np

    from flash.optimize import exact_front, objective
    from flash.spaces.stage_tables import SeparableProblem, StageTable

    rng = np.random.default_rng(0)
    stages = []
    for k in range(3):
        cost = rng.lognormal(size=(2, _CELL_OPTIONS))
        score = cost[0] ** 0.3 * cost[1] ** 0.2 * rng.lognormal(0, 0.3, _CELL_OPTIONS)
        values = {"nn_degree": score, "latency_ms": cost[0], "energy_mj": cost[1]}
        stages.append(StageTable(f"cell{k}", (), (k,), values))
    problem = SeparableProblem(
        (_CELL_OPTIONS,) * 3,
        tuple(stages),
        {"nn_degree": "sum", "latency_ms": "sum", "energy_mj": "sum"},
    )
    names = ("nn_degree", "latency_ms", "energy_mj")
    began = time.process_time()
    found = exact_front(problem, [objective(name) for name in names])
    return {"cpu_s": time.process_time() - began, "designs": len(found)}


# --------------------------------------------------------------------------------- processes
_SEARCHES = "from flash.search import search\nfor _ in range({}): search('rpi3b')"


def instructions() -> Told:
    """Instructions of one search, imports left out: of two in a process less those of one.

    As valgrind counts them; what a first search keeps for later ones is left out too.
    """

    def counted(searches: int) -> int:
        options = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        done = subprocess.run(
            ["valgrind", *options, sys.executable, "-c", _SEARCHES.format(searches)],
            capture_output=True,
            text=True,
            check=True,
        )
        (count,) = re.findall(r"I\s+refs:\s+([\d,]+)", done.stderr)
        return int(count.replace(",", ""))

    return {"instructions": counted(2) - counted(1)}


# --------------------------------------------------------------------------------- estimates
def _make_designs(folder: Path, count: int) -> None:
    import numpy as np

    from flash.spaces.space import load_space

    space = load_space("cifar10-concat")
    with (folder / "designs.txt").open("w", encoding="utf-8") as stream:
        for design in space.sample(count, np.random.default_rng(0)):
            stream.write(space.describe(design) + "\n")


def _estimate(folder: Path) -> Told:
    from flash.estimate.command import main

    options = ["--space", "cifar10-concat", "--designs", str(folder / "designs.txt")]
    return _timed(lambda: main([*options, "--target", "rpi3b", "--csv", str(folder / "out.csv")]))


# ------------------------------------------------------------------------------------- rest
def macro() -> Told:
    from flash.evaluation import separable
    from flash.metrics import own_metric
    from flash.optimize import exact_front, objective
    from flash.spaces.space import load_space
    from flash.targets import load_target

    space = load_space("nasbench-macro")
    metric = own_metric(space).name
    began = time.process_time()
    problem = separable(space, load_target("rpi3b"), metric)
    tables = time.process_time() - began
    began = time.process_time()
    found = exact_front(problem, [objective(metric), objective("latency_ms")])
    return {
        "cpu_s": time.process_time() - began,
        "tables_s": tables,
        "designs": len(found),
    }


def _write_onnx(folder: Path, name: str) -> None:
    import onnx

    from flash.backends.onnx.writer import network_model
    from flash.backends.weights import random_weights
    from flash.spaces.reference import reference_network

    network = reference_network(name)
    weights = random_weights(network, 0)
    onnx.save_model(network_model(network, weights, name), str(folder / "model.onnx"))


def _read_onnx(folder: Path) -> Told:
    from flash.estimate import estimate

    return _timed(lambda: estimate(str(folder / "model.onnx"), target="rpi4b"))


def proxies_together() -> Told:
    """All six of one network: the share of what they take one by one."""
    import numpy as np
    import torch

    from flash.proxies.scoring import score_network
    from flash.spaces.space import load_space

    torch.set_num_threads(1)
    names = ["naswot", "jacob_cov", "synflow", "zico", "grad_norm", "snip"]
    space = load_space("nasbench201")
    network = space.network(space.sample(1, np.random.default_rng(5))[0])
    score_network(network, names)
    alone, together = dict.fromkeys(names, 1e9), 1e9
    for _ in range(3):
        for name in names:
            told = _timed(partial(score_network, network, [name]))
            alone[name] = min(alone[name], told["cpu_s"])
        together = min(together, _timed(partial(score_network, network, names))["cpu_s"])
    return {"cpu_s": together, "share": together / sum(alone.values())}


def _make_measurements(folder: Path, count: int) -> None:
    import numpy as np

    from flash.evaluation import evaluate
    from flash.spaces.space import load_space
    from flash.targets import load_target

    rng = np.random.default_rng(0)
    space, target = load_space("nasbench201"), load_target("rpi4b")
    designs = space.sample(count, rng)
    latency = evaluate(space, target, designs).latency_ms[0] * rng.lognormal(0, 0.03, count)
    with (folder / "runs.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["design", "latency_ms"])
        for design, ms in zip(designs, latency, strict=True):
            writer.writerow([space.describe(design), f"{ms:.6g}"])


def _shorten_measurements(folder: Path, count: int) -> None:
    root = Path(__file__).resolve().parents[2]
    source = root / "hw_profiles" / "measurements" / "x86-avx512-1-thread.jsonl"
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "runs.jsonl").write_text("".join(lines[: count + 1]), encoding="utf-8")


def _fit(path: Path, space: str = "") -> Told:
    from flash.fit import fit

    return _timed(lambda: fit([path], "bench", space=space))


def systolic() -> Told:
    from flash.search import search

    began = time.process_time()
    report = search(target="systolic", extrapolate=True)
    return {
        "cpu_s": time.process_time() - began,
        "gap_percent": 100 * (report.optimizer.gap or 0.0),
    }


def front_files(folder: Path) -> Told:
    """Seconds of the slowest of the files of a front."""
    from flash.report.picture import front_svg
    from flash.search import search

    report = search(
        target="rpi3b",
        objectives=("score", "latency", "memory"),
        metric="nn_degree",
        extrapolate=True,
        optimizer="exact",
    )
    files: dict[str, Callable[[], object]] = {
        "json": report.to_json,
        "csv": report.to_csv,
        "svg": lambda: front_svg(report, ()),
    }
    told = {f"{name}_s": _timed(write)["cpu_s"] for name, write in files.items()}
    return {"cpu_s": max(told.values()), "designs": len(report.front), **told}


_PREPARE: dict[str, Callable[[Path], None]] = {
    **{name: partial(_make_designs, count=count) for name, count in _DESIGNS.items()},
    "onnx_vgg19": lambda folder: _write_onnx(folder, "vgg19"),
    "onnx_resnet50": lambda folder: _write_onnx(folder, "resnet50"),
    "fit_50": lambda folder: _shorten_measurements(folder, 50),
    "fit_500": lambda folder: _make_measurements(folder, 500),
}
_ROWS: dict[str, Callable[[Path], Told]] = {
    "exact_three": lambda _: exact_three(),
    "exact_four": lambda _: exact_four(),
    "exact_huge": lambda _: exact_huge(),
    "estimate_100k": _estimate,
    "estimate_million": _estimate,
    "macro": lambda _: macro(),
    "instructions": lambda _: instructions(),
    "onnx_vgg19": _read_onnx,
    "onnx_resnet50": _read_onnx,
    "proxies_together": lambda _: proxies_together(),
    "fit_50": lambda folder: _fit(folder / "runs.jsonl"),
    "fit_500": lambda folder: _fit(folder / "runs.csv", "nasbench201"),
    "systolic": lambda _: systolic(),
    "front_files": front_files,
}


def main() -> None:
    """Prepare or run one row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", help="its name")
    parser.add_argument("folder", type=Path, help="that it works in")
    given = parser.parse_args()
    name, folder = given.row, given.folder
    if name.startswith("prepare:"):
        make = _PREPARE.get(name.removeprefix("prepare:"))
        if make is not None:
            make(folder)
        return
    print(json.dumps(_ROWS[name](folder)))


if __name__ == "__main__":
    main()
