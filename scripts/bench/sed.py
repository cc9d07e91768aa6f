"""How fast the data-free scores are: any network, NAS-Bench-201 cells, tables for optimizers.

    python scripts/bench/sed.py

Building a table and looking scores up are listed apart; graphs are built beforehand. Each
time is the CPU's, the fastest of several runs in one process (others may use the machine), except
what happens once: the first build of the table of cells.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np

from flash.metrics.degree import nn_degree
from flash.metrics.rank import RANK_SCORE, with_score
from flash.metrics.sed import score_network
from flash.metrics.sed.cells import score_cells
from flash.spaces.network import Network
from flash.spaces.reference import reference_network
from flash.spaces.space import SearchSpace, load_space
from flash.spaces.stage_tables import SeparableProblem, tabulate

SPACES = (
    "cifar10-concat", "cifar10-add", "nasbench-macro", "cifar10-mobilenet-v2",
    "imagenet-mobilenet-v2",
)  # fmt: skip
ROUNDS = 20
REFERENCES = ("resnet18", "resnet50", "mobilenet_v2", "googlenet")


def seconds(run: Callable[[], object], repeats: int = 15) -> float:
    found = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
    return min(found)


def networks() -> None:
    rng = np.random.default_rng(0)
    groups = {name: [reference_network(name)] for name in REFERENCES}
    for name in (*SPACES, "nasbench201"):
        space = load_space(name)
        groups[name] = [space.network(design) for design in space.sample(20, rng)]
    best = {name: [math.inf] * len(group) for name, group in groups.items()}
    # Round after round over all of them: a machine that is slow for a while spoils none.
    for _ in range(ROUNDS):
        for name, group in groups.items():
            for k, network in enumerate(group):
                best[name][k] = min(best[name][k], seconds(lambda n=network: score_network(n), 1))  # type: ignore[misc]
    print("One network: all scores of rank_score; fastest run of each")
    for name, group in groups.items():
        mean, most = 1e3 * statistics.mean(best[name]), 1e3 * max(best[name])
        print(f"  {name:24s}{_mean_layers(group):6.0f} layers {mean:8.2f} ms, most {most:.2f} ms")
    every = [ms for group in best.values() for ms in group]
    print(f"  {'median of all':24s}{'':13s} {1e3 * statistics.median(every):8.2f} ms")


def _mean_layers(several: list[Network]) -> float:
    return statistics.mean(len(network.layers) for network in several)


def cells() -> None:
    space = load_space("nasbench201")
    began = time.process_time()
    score_cells(5, 16, 32, 32)
    print(f"All 15,625 NAS-Bench-201 cells: table built in {time.process_time() - began:.2f} s")
    designs = space.sample(1_000_000, np.random.default_rng(0))
    spent = seconds(lambda: RANK_SCORE.of_designs(space, designs), 5)
    print(f"  looked up: {len(designs) / spent:,.0f} cells/s")


def stages() -> None:
    print("Stage tables: time without capacity, more with it, then designs/s by look-up")
    for name in SPACES:
        space = load_space(name)
        without = seconds(lambda s=space: _problem(s), 5)  # type: ignore[misc]
        problem = _problem(space)
        more = seconds(lambda s=space, p=problem: with_score(p, s, "capacity"), 5)  # type: ignore[misc]
        scored = with_score(problem, space, "capacity")
        designs = space.sample(200_000, np.random.default_rng(0))
        spent = seconds(lambda p=scored, d=designs: p.evaluate(d, "capacity"), 5)  # type: ignore[misc]
        rate = len(designs) / spent
        print(f"  {name:24s}{without:8.3f} s {more:8.3f} s {rate:16,.0f} designs/s")


def _problem(space: SearchSpace) -> SeparableProblem:
    return tabulate(
        space,
        lambda table: {"macs": table.macs.sum(axis=0).astype(np.float64)},
        lambda table: {"nn_degree": nn_degree(table)},
        {"macs": "sum", "nn_degree": "sum"},
    )


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    networks()
    cells()
    stages()


if __name__ == "__main__":
    main()
