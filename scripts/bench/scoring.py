"""Scoring throughput: designs a second by look-up in stage tables, and layer by layer.

    python scripts/bench/scoring.py [--space S] [--target T]

Prints each rate with the number of designs and its ratio to the layer-by-layer rate of the
same run. Rates are of one process and of its CPU time; absolute times vary with the machine, and
double where others share the core, ratios count. The last lines ask of the tables of every chain
space with how many designs a second its score is looked up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from flash.evaluation import evaluate, separable
from flash.metrics import nn_degree
from flash.spaces.space import load_space
from flash.targets import load_target

_ROUNDS = 5
CHAINS = (
    "cifar10-concat", "cifar10-add", "nasbench-macro", "keywords-ds-cnn", "keywords-tc-resnet",
    "cifar10-mobilenet-v2", "imagenet-mobilenet-v2",
)  # fmt: skip
SOME = 200_000


def _seconds(action: Callable[[], object]) -> float:
    """The shortest of a few runs."""
    times = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        action()
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="cifar10-concat")
    parser.add_argument("--target", default="rpi3b")
    options = parser.parse_args()
    space, target = load_space(options.space), load_target(options.target)
    rng = np.random.default_rng(0)
    many, few, fewer = (space.sample(n, rng) for n in (1_000_000, 20_480, 2_048))
    problem = separable(space, target, "nn_degree")

    def layer_by_layer(work: Callable[..., object]) -> Callable[[], None]:
        def action() -> None:
            for start in range(0, len(few), 2048):
                work(space.table(few[start : start + 2048]))

        return action

    timed = [
        ("layers, everything + intervals", len(fewer), lambda: evaluate(space, target, fewer)),
        ("layers, latency + energy", len(few), layer_by_layer(target.stage_costs)),
        ("layers, NN-Degree", len(few), layer_by_layer(nn_degree)),
        (
            "tables, NN-Degree + latency + energy",
            len(many),
            lambda: problem.evaluate(many, "nn_degree", "latency_ms", "energy_mj"),
        ),
        ("tables, NN-Degree", len(many), lambda: problem.evaluate(many, "nn_degree")),
    ]
    print(f"space {space.name} ({space.size:,} designs), target {target.name}")
    build = _seconds(lambda: separable(space, target, "nn_degree"))
    print(f"{'stage tables, built once':40} {build:.3f} s")
    base = 0.0
    for name, designs, action in timed:
        rate = designs / _seconds(action)
        base = base or rate
        _print(name, designs, rate, base)
    for name in CHAINS:
        chain = load_space(name)
        score = "capacity" if chain.metric == "rank_score" else chain.metric
        looked_up, drawn = separable(chain, target, score), chain.sample(SOME, rng)
        spent = _seconds(partial(looked_up.evaluate, drawn, score))
        _print(f"tables, {score} of {name}", SOME, SOME / spent, base)


def _print(name: str, designs: int, rate: float, base: float) -> None:
    print(f"{name:40} {designs:>9,} designs  {rate:>12,.0f} /s  x{rate / base:.1f}")


if __name__ == "__main__":
    main()
