"""Search for a proxy task (Eproxy) that ranks networks of known accuracy well: the source's DPS.

    python scripts/search_proxy_task.py TABLE.csv [--space nasbench201] [--fit 20] [--held-out 40]
        [--configurations 200] [--population 40] [--tournament 10] [--seed 0] [--out FILE]

TABLE has columns design,accuracy, as ``flash.search --evaluator`` takes it. Ageing evolution
(Real et al. 2019) over the settings of ``flash.proxies.eproxy.ProxyTask``; the fitness of one is
Spearman between score and accuracy over ``--fit`` networks drawn from the table. The best is
judged on ``--held-out`` others beside the default and parameters, and written as JSON. Among
networks the score is -loss (1 - alpha MACs / most MACs). Each score takes a training of ten steps:
seconds for networks of CIFAR's size, so 200 settings on 20 networks take hours; fewer settings
and a smaller space make it minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from flash.backends.torch.memory import keep_freed_memory
from flash.command import run_command
from flash.proxies.eproxy import DEFAULT, TARGETS, ProxyTask, task_loss
from flash.proxies.probe import NoScore, Probe
from flash.search.budgeted.journal import read_accuracies
from flash.spaces.network import Network
from flash.spaces.space import load_space

Floats = NDArray[np.float64]
BATCH = 16
#: Settings a task takes, with what is drawn for each (the source's ranges).
CHANNELS, KERNELS, BRANCHES = (16, 32, 64, 128, 256, 512), (1, 3, 7), (1, 2, 3)
INITIAL = ("torch", "fan_in", "fan_out", "normal")
#: Share of the settings that a child changes.
MUTATED = 0.2


def drawn(rng: np.random.Generator) -> ProxyTask:
    """A task at random."""
    kinds = rng.permutation(TARGETS)[: rng.integers(1, len(TARGETS) + 1)]
    return ProxyTask(
        rate=float(rng.uniform(0.5, 1.5)),
        branches=int(rng.choice(BRANCHES)),
        channels=int(rng.choice(CHANNELS)),
        kernel=int(rng.choice(KERNELS)),
        targets=tuple(sorted(map(str, kinds))),
        level=float(rng.uniform(0.5, 2.0)),
        alpha=float(rng.uniform(-0.5, 0.5)),
        initial=INITIAL[rng.integers(len(INITIAL))],  # type: ignore[arg-type]
    )


def mutated(task: ProxyTask, rng: np.random.Generator) -> ProxyTask:
    """The task with some settings drawn anew, one at least."""
    names = ("rate", "branches", "channels", "kernel", "targets", "level", "alpha", "initial")
    hit = rng.random(len(names)) < MUTATED
    hit[rng.integers(len(names))] = True
    other = drawn(rng)
    chosen = [name for name, changes in zip(names, hit, strict=True) if changes]
    return replace(task, **{name: getattr(other, name) for name in chosen})


def scores(networks: Sequence[Network], task: ProxyTask, seed: int) -> Floats:
    """Scores of networks by the task, shape (networks,); the worst where it says nothing."""
    losses = np.array([_loss(network, task, seed) for network in networks])
    known = np.isfinite(losses)
    losses[~known] = losses[known].max() if known.any() else 0.0
    macs = np.array([network.macs for network in networks], dtype=np.float64)
    found: Floats = -losses * (1 - task.alpha * macs / macs.max())
    return found


def _loss(network: Network, task: ProxyTask, seed: int) -> float:
    try:
        return task_loss(Probe(network, seed=seed, batch=BATCH, device="cpu"), task)
    except NoScore:
        return math.inf


def rho(score: Floats, accuracy: Floats) -> float:
    """Spearman, 0 where all scores are equal."""
    return float(spearmanr(score, accuracy)[0]) if np.ptp(score) > 0 else 0.0


def search(
    networks: Sequence[Network], accuracy: Floats, configurations: int, population: int,
    tournament: int, seed: int,
) -> tuple[ProxyTask, float]:  # fmt: skip
    """The task of the highest fitness of all that were tried, and the fitness."""
    rng = np.random.default_rng(seed)
    alive: deque[tuple[ProxyTask, float]] = deque(maxlen=population)
    best = DEFAULT, -math.inf
    for number in range(configurations):
        if number == 0:
            task = DEFAULT
        elif number < population:
            task = drawn(rng)
        else:
            rivals = [alive[k] for k in rng.integers(len(alive), size=tournament)]
            task = mutated(max(rivals, key=lambda one: one[1])[0], rng)
        fitness = rho(scores(networks, task, seed), accuracy)
        alive.append((task, fitness))
        best = max(best, alive[-1], key=lambda one: one[1])
    return best


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", help="CSV with columns design,accuracy")
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--fit", type=int, default=20, help="networks the task is searched on")
    parser.add_argument("--held-out", type=int, default=40, help="networks it is judged on")
    parser.add_argument("--configurations", type=int, default=200)
    parser.add_argument("--population", type=int, default=40)
    parser.add_argument("--tournament", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the task as JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    space = load_space(options.space)
    designs, accuracy = read_accuracies(options.table, space)
    order = np.random.default_rng(options.seed).permutation(np.flatnonzero(np.isfinite(accuracy)))
    fit, held_out = np.split(order[: options.fit + options.held_out], [options.fit])
    known = [space.network(designs[row]).live() for row in fit]
    task, fitness = search(
        known, accuracy[fit], options.configurations, options.population, options.tournament,
        options.seed,
    )  # fmt: skip
    print(f"on {len(fit)} networks: {fitness:.3f} after {options.configurations} tasks")
    if len(held_out):
        others = [space.network(designs[row]).live() for row in held_out]
        params = np.array([float(network.params) for network in others])
        for name, score in (
            ("the task found", scores(others, task, options.seed)),
            ("the default task", scores(others, DEFAULT, options.seed)),
            ("parameters", params),
        ):
            print(f"on {len(held_out)} others: {name} {rho(score, accuracy[held_out]):.3f}")
    text = json.dumps(asdict(task), indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
