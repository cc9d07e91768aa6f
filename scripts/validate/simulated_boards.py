"""Fits of tables of made-up boards: what is learnt of a constant, and how others are predicted.

    python scripts/validate/simulated_boards.py [--seeds 2] [--boards WORD] [--tables 12] [--each]

Five boards take a constant a run, an overhead a kernel, and the longer of work and traffic (two
bandwidths, rates by kind of kernel that fall with few channels), with 4 % noise. Networks of ten
kinds are drawn and written as workloads; a table names 12, 25 or 60 of them, or 25 convolutional
classifiers; all others are predicted. Kinds are kept from the fit, as a table of ONNX files keeps
them. Seconds a fit. The constants were set before any fit of these boards was looked at.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flash.fitting.learning import Learned, learn
from flash.fitting.prior import unknown_prior
from flash.fitting.workload import kernels_run
from flash.measurements.workloads import workload_network
from flash.spaces.network import Network
from flash.spaces.reference import reference_names, reference_network
from flash.spaces.space import load_space
from flash.targets.processor.costs import network_costs, network_features
from flash.targets.processor.intervals import latency_interval
from flash.targets.processor.kernel_classes import CALL, KERNEL_CLASSES, Kernel
from flash.targets.processor.profile import Profile, load_profile

Floats = NDArray[np.float64]

#: Networks of each kind; relative noise of a measurement.
EACH, NOISE = 9, 0.04
CONVOLUTIONAL = ("reference", "imagenet-mobilenet-v2", "cifar10-mobilenet-v2", "cifar10-add",
                 "cifar10-concat")  # fmt: skip


@dataclass(frozen=True)
class Board:
    """ms of a run and of a kernel; GMAC/s by kind of kernel; GB/s inside and outside of a cache.

    half: input channels at which a convolution runs at half its rate. cache_mb: traffic of a kernel
    up to which the first bandwidth holds.
    """

    run_ms: float
    kernel_ms: float
    rates: Mapping[str, float]
    gb_s: tuple[float, float]
    half: float = 8.0
    cache_mb: float = 1.0

    def latency_ms(self, network: Network) -> float:
        """Of one run."""
        total = self.run_ms
        for fields in kernels_run(network, "used", "conv", 4):
            k = Kernel(*fields)
            kind = KERNEL_CLASSES[int(k.kind)]
            if int(k.kind) == CALL:
                continue
            rate = self.rates.get(kind, 0.0)
            macs = float(k.weights * k.positions) or float(k.positions * k.reduction * k.outputs)
            enough = float(k.reduction) / (float(k.reduction) + self.half)
            work = macs / (1e6 * rate * enough) if rate and macs else 0.0
            megabytes = 4e-6 * float(k.elements + k.weights)
            traffic = megabytes / self.gb_s[megabytes > self.cache_mb]
            total += self.kernel_ms * float(k.launches) + max(work, traffic)
        return total


def _rates(conv: float, **others: float) -> dict[str, float]:
    of = {"conv": 1.0, "conv3x3": 1.2, "pointwise": 0.8, "depthwise": 0.15, "grouped": 0.3,
          "transposed": 0.7, "linear": 0.3, "matmul": 0.6, "recurrent": 0.2}  # fmt: skip
    return {kind: conv * others.get(kind, share) for kind, share in of.items()}


BOARDS = {
    "small": Board(1.0, 0.03, _rates(1.5, depthwise=0.4), (1.5, 0.6), 4.0, 0.3),
    "processor": Board(0.02, 0.006, _rates(40.0), (25.0, 7.0), 10.0, 2.0),
    "graphics": Board(0.9, 0.02, _rates(900.0, depthwise=0.06), (150.0, 150.0), 30.0),
    "no constant": Board(0.0, 0.05, _rates(25.0), (10.0, 3.0)),
    "accelerator": Board(2.5, 0.01, _rates(300.0, depthwise=0.04, matmul=0.1), (12.0, 3.0), 16.0),
}


def _chain(r: random.Random) -> dict[str, Callable[[], str]]:
    """A text of each kind of chain."""

    def repeated(size: str, step: str, most: int) -> str:
        return f"{size}: " + "; ".join([step] * r.randint(2, most))

    def transformer() -> str:
        width, heads = r.choice([(64, 4), (96, 3), (128, 4), (192, 3)])
        block = f"attn h{heads}; mlp e{r.choice([2, 3, 4])}"
        return repeated(f"{width}x{r.choice([32, 49, 100, 196])}", block, 5)

    def perceptron() -> str:
        rows = [f"rows {r.choice([64, 128, 256, 512])}; relu" for _ in range(r.randint(2, 5))]
        return f"{r.choice([64, 256, 640])}x1: {'; '.join(rows)}; rows 10"

    def unet() -> str:
        w, s = r.choice([8, 12, 16, 24]), r.choice([64, 96, 128])
        down = "; ".join(f"conv k3 {w << i}; conv k3 {w << i}; max k2" for i in range(3))
        up = "; ".join(f"up k2; conv k3 {w << i}; conv k3 {w << i}" for i in (2, 1, 0))
        return f"3x{s}x{s}: {down}; conv k3 {w << 3}; {up}; plain k1 2"

    def sequence() -> str:
        w = r.choice([32, 64, 96, 128])
        steps = "; ".join([f"conv1 k3 {w}; conv1 k1 {w}"] * r.randint(3, 8))
        return f"{r.choice([8, 16, 40])}x{r.choice([100, 400, 1000])}: {steps}"

    def gated() -> str:
        w = r.choice([24, 40, 64])
        block = f"plain k1 {w * 4}; hswish; dw k5; se r4; plain k1 {w}"
        s = r.choice([14, 28, 56])
        return repeated(f"{w}x{s}x{s}", block, 6)

    return {
        "transformer": transformer, "mlp": perceptron, "unet": unet, "sequence": sequence,
        "gated": gated,
    }  # fmt: skip


def networks(seed: int) -> tuple[list[str], list[Network]]:
    """Kinds and networks, ``EACH`` of each kind."""
    r, rng = random.Random(seed), np.random.default_rng(seed)
    found: list[tuple[str, Network]] = []
    names = [n for n in reference_names() if "ssd" not in n and "yolo" not in n]
    found += [("reference", reference_network(n)) for n in r.sample(names, min(EACH, len(names)))]
    for name in CONVOLUTIONAL[1:]:
        space = load_space(name)
        found += [(name, space.network(d)) for d in space.sample(EACH, rng)]
    for kind, text in _chain(r).items():
        texts: dict[str, None] = {}
        while len(texts) < EACH:
            texts[text()] = None
        found += [(kind, workload_network(t)) for t in texts]
    return [kind for kind, _ in found], [network for _, network in found]


def fitted(chosen: Sequence[Network], latency_ms: Floats) -> tuple[Learned, Profile]:
    """A fit as ``flash fit`` makes it of a table of ONNX files."""
    found = learn(
        chosen, ["onnx"] * len(chosen), latency_ms, None, unknown_prior(), baselines=False
    )
    main, *others = found.variants
    known = load_profile("rpi4b")
    runtime = replace(
        known.runtime, executes=main.executes, fusion=main.fusion, lanes=main.lanes,
        alternatives=tuple(others), coefficients=main.coefficients, interval=found.interval,
        kernels=None, precision="fp32",
    )  # fmt: skip
    return found, replace(known, runtimes={"x": runtime}, default_runtime="x")


def judged(profile: Profile, asked: Sequence[Network], truth: Floats) -> Floats:
    """Predicted over measured, inside the interval, marked as outside: shape (networks, 3)."""
    rows = []
    for network, ms in zip(asked, truth.tolist(), strict=True):
        predicted = np.array([network_costs(network, profile)["latency_ms"]])
        low, high, marked = latency_interval(predicted, network_features(network, profile), profile)
        rows.append((predicted[0] / ms, low[0] <= ms <= high[0], marked[0]))
    return np.array(rows, dtype=np.float64)


def line(title: str, rows: Floats, constant: str) -> str:
    """Errors and coverage of some predictions."""
    error, inside, marked = np.abs(rows[:, 0] - 1), rows[:, 1], rows[:, 2] > 0
    far = f"{inside[marked].mean():4.0%}" if marked.any() else "   -"
    near = f"{inside[~marked].mean():4.0%}" if (~marked).any() else "   -"
    return (
        f"{title:34s}{np.median(error):8.1%}{np.mean(error):9.1%}"
        f"{np.quantile(np.abs(np.log(rows[:, 0])), 0.95):8.2f}{inside.mean():7.0%}   {near} {far}"
        f"   {constant}"
    )


def main(arguments: Sequence[str]) -> int:
    """Print a line a board and table; returns the exit code."""
    parser = argparse.ArgumentParser(description="Fits of tables of made-up boards.")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=1000, metavar="SEED")
    parser.add_argument("--boards", default="", metavar="WORD")
    parser.add_argument("--tables", default="12,25,60,cnn25")
    parser.add_argument("--each", action="store_true", help="a line a fit too, with every kind")
    options = parser.parse_args(arguments)
    print(f"{'':34s}  median     mean   log95  inside   (not, marked)   a run, ms: true, fitted")
    everything: dict[str, list[Floats]] = {}
    start = time.process_time()
    for name, board in BOARDS.items():
        if options.boards not in name:
            continue
        for table in options.tables.split(","):
            rows, constants = [], []
            for seed in range(options.first, options.first + options.seeds):
                kinds, all_networks = networks(seed)
                rng = np.random.default_rng(seed + 1)
                true = np.array([board.latency_ms(n) for n in all_networks])
                ms = true * np.exp(rng.normal(0, NOISE, len(true)))
                order = rng.permutation(len(ms))
                if table.startswith("cnn"):
                    order = np.array(sorted(order, key=lambda i: kinds[i] not in CONVOLUTIONAL))
                count = int(table.removeprefix("cnn"))
                a, b = order[:count], order[count:]
                found, profile = fitted([all_networks[i] for i in a], ms[a])
                own = judged(profile, [all_networks[i] for i in b], ms[b])
                rows.append(own)
                constants.append(
                    sum(v.weight * v.coefficients.overhead_us[CALL] for v in found.variants) / 1e3
                )
                if options.each:
                    print(f"  {name} {table} seed {seed}: {found.fitted_by}")
                    of = np.array([kinds[i] for i in b])
                    for kind in dict.fromkeys(of):
                        print(line(f"    {kind}", own[of == kind], ""))
            shown = ", ".join(f"{c:.3g}" for c in constants)
            print(
                line(f"{name}, {table}", np.vstack(rows), f"{board.run_ms:g}: {shown}"), flush=True
            )
            everything.setdefault(table, []).extend(rows)
    for table, found_rows in everything.items():
        print(line(f"all, {table}", np.vstack(found_rows), ""))
    print(f"{time.process_time() - start:.0f} s of the processor")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
