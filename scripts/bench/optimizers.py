"""Times and quality of all optimizers on one separable problem, in one run.

    python scripts/bench/optimizers.py [--space S] [--target T] [--settings 50] [--seed 0]

Prints the number of designs, the exact fronts of two and three objectives, hierarchical SHGO,
NSGA-II (if pymoo is installed) and random search with as many evaluations, each with its
time and its gap to the exact optimum; then the distribution of SHGO's gap over random
limits. Times are the optimizers alone: imports and tabulation are listed apart.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flash.errors import InfeasibleError
from flash.evaluation import separable
from flash.optimize import (
    Limit,
    Objective,
    OptimizerResult,
    Scalar,
    SeparableProblem,
    certify_best,
    certify_front,
    exact_best,
    exact_front,
    flash_scalar,
    least_possible,
    non_dominated,
    nsga2_front,
    objective,
    shgo_best,
    shgo_front,
    single,
    values_of,
)
from flash.spaces.space import load_space
from flash.targets import load_target

SCORE, LATENCY, ENERGY, MEMORY = map(
    objective, ("nn_degree", "latency_ms", "energy_mj", "memory_kb")
)


def best_of(repeats: int, run: Callable[[], OptimizerResult]) -> tuple[OptimizerResult, float]:
    """The result and the least wall-clock time of a few runs, seconds."""
    results = [run() for _ in range(repeats)]
    return results[-1], min(result.seconds for result in results)


def random_front(
    problem: SeparableProblem, objectives: Sequence[Objective], count: int, seed: int
) -> OptimizerResult:
    """The front of ``count`` designs drawn uniformly."""
    began = time.perf_counter()
    rng = np.random.default_rng(seed)
    designs = np.stack([rng.integers(n, size=count) for n in problem.sizes], axis=1)
    values = values_of(problem, designs, objectives)
    keep = non_dominated(values, [of.sign for of in objectives])
    seconds = time.perf_counter() - began
    return OptimizerResult("random", tuple(objectives), designs[keep], values[keep], count, seconds)


def fronts(problem: SeparableProblem, seed: int) -> None:
    """One line an optimizer; ratios are to the time of the exact two-objective front."""
    print(
        f"{'optimizer':28} {'designs':>8} {'evaluations':>12} {'ms':>9} {'ratio':>7} {'gap %':>9}"
    )
    base = 0.0
    for objectives in ([SCORE, LATENCY], [SCORE, LATENCY, MEMORY]):
        label = f"{len(objectives)} objectives"
        exact, seconds = best_of(3, lambda o=objectives: exact_front(problem, o))  # type: ignore[misc]
        base = base or seconds
        rows = [(f"exact, {label}", exact, seconds)]
        found, taken = best_of(3, lambda o=objectives: shgo_front(problem, o, seed=seed))  # type: ignore[misc]
        rows.append((f"shgo, {label}", found, taken))
        draws = random_front(problem, objectives, found.evaluations, seed)
        rows.append((f"random, {label}", draws, draws.seconds))
        if importlib.util.find_spec("pymoo"):
            evolved = nsga2_front(problem, objectives, seed=seed)
            rows.append((f"nsga2, {label}", evolved, evolved.seconds))
        for name, result, time_s in rows:
            gap = certify_front(problem, result, exact=exact).gap_percent or 0.0
            print(
                f"{name:28} {len(result):8} {result.evaluations:12} {time_s * 1e3:9.1f} "
                f"{time_s / base:7.2f} {gap:9.4f}"
            )


def random_setting(
    problem: SeparableProblem, rng: np.random.Generator, ranges: Mapping[str, tuple[float, float]]
) -> tuple[Scalar, list[Limit]]:
    """Most score under random limits, or (one in five) FLASH's ratio above a random score."""
    low, high = ranges["nn_degree"]
    if rng.random() < 0.2:
        return flash_scalar(SCORE.name), [Limit(SCORE, float(rng.uniform(low, high)))]
    while True:
        limits = [
            Limit(of, float(np.exp(rng.uniform(*np.log(ranges[of.name])))))
            for of in (LATENCY, ENERGY, MEMORY)
            if rng.random() < 0.6
        ]
        if limits:
            return single(SCORE), limits


def scalars(problem: SeparableProblem, settings: int, seed: int) -> None:
    """Gap of one SHGO solve to the exact optimum over random limits."""
    rng = np.random.default_rng(seed)
    designs = np.stack([rng.integers(n, size=20_000) for n in problem.sizes], axis=1)
    ranges: dict[str, tuple[float, float]] = {}
    for of in (LATENCY, ENERGY, MEMORY):
        most = float(np.quantile(values_of(problem, designs, [of]), 0.9))
        ranges[of.name] = (least_possible(problem, of) * 1.05, most)
    least = float(np.quantile(values_of(problem, designs, [SCORE]), 0.05))
    ranges["nn_degree"] = (least, least_possible(problem, SCORE) * 0.95)
    gaps: list[float] = []
    times: list[float] = []
    exact_times: list[float] = []
    evaluations: list[int] = []
    missed = 0
    while len(gaps) + missed < settings:
        scalar, limits = random_setting(problem, rng, ranges)
        try:
            exact = exact_best(problem, scalar, limits)
        except InfeasibleError:
            continue
        exact_times.append(exact.seconds)
        try:
            found = shgo_best(problem, scalar, limits, seed=seed)
        except InfeasibleError:
            missed += 1
            continue
        gaps.append(certify_best(problem, found, scalar, limits).gap_percent or 0.0)
        times.append(found.seconds)
        evaluations.append(found.evaluations)
    share = np.array(gaps)
    print(f"\nshgo, one scalar under random limits, {settings} settings:")
    print(
        f"  within 0 %: {(share <= 1e-9).sum()}, 0.5 %: {(share <= 0.5).sum()}, "
        f"2 %: {(share <= 2).sum()}; none found: {missed}"
    )
    print(
        f"  gap: mean {share.mean():.3f} %, 90th percentile {np.quantile(share, 0.9):.3f} %, "
        f"worst {share.max():.3f} %"
    )
    print(
        f"  {np.median(times) * 1e3:.1f} ms median (exact: "
        f"{np.median(exact_times) * 1e3:.1f} ms), {int(np.median(evaluations))} evaluations"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--space", default="cifar10-concat")
    parser.add_argument("--target", default="rpi3b")
    parser.add_argument("--settings", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.perf_counter()
    problem = separable(load_space(given.space), load_target(given.target), "nn_degree")
    tabulated = time.perf_counter()
    importlib.import_module("scipy.optimize")
    importlib.import_module("scipy.stats.qmc")  # shgo imports it on its first call
    print(
        f"{given.space} on {given.target}: {problem.size:,} designs; "
        f"tabulated in {tabulated - began:.2f} s; "
        f"scipy for shgo imported in {time.perf_counter() - tabulated:.2f} s\n"
    )
    fronts(problem, given.seed)
    scalars(problem, given.settings, given.seed)


if __name__ == "__main__":
    main()
