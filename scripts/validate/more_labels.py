"""Whether accuracy models go on learning: Kendall tau on unseen designs from 25 to 469 labels.

    python scripts/validate/more_labels.py [--shared ../shared] [--draws 3] [--out FILE]

Designs drawn at random are fitted as ``flash.calibrate`` fits them; 1,500 others, set apart before,
are ranked by the model chosen (least left-out error, ``flash.accuracy.fit.choose``), by the trees
alone, by kriging, and by the data-free score. Eight minutes on one core.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nasbench import DATASETS, Benchmark, read
from numpy.typing import NDArray
from ranking import Report
from scipy.stats import kendalltau

from flash.accuracy.calibration import space_rivals
from flash.accuracy.features import design_features
from flash.accuracy.fit import choose
from flash.spaces.space import SearchSpace, load_space

LABELS = (25, 39, 78, 156, 469)
#: Kendall tau on NAS-Bench-201, CIFAR-10, of HyperNAS (CVPR 2026), from notes on its paper.
HYPERNAS = {39: 0.667, 78: 0.677, 156: 0.765, 469: 0.836}
_UNSEEN = 1500
_KINDS = ("trees", "kriging", "line")


def judge(
    report: Report, name: str, space: SearchSpace, designs: NDArray[np.int64],
    accuracy: NDArray[np.float64], draws: int, numbers: Sequence[int] = LABELS,
) -> dict[int, float]:  # fmt: skip
    """A line a number of labels: mean tau of each model, the worst draw of the chosen one.

    Returns the mean of the chosen one.
    """
    order = np.random.default_rng(0).permutation(len(designs))
    unseen, pool = order[:_UNSEEN], np.sort(order[_UNSEEN:])
    rows: dict[tuple[str, ...], NDArray[np.float64]] = {}
    result: dict[int, float] = {}
    for labels in numbers:
        found, kinds = [], Counter[str]()
        for seed in range(draws):
            fit = np.random.default_rng(seed).choice(pool, labels, replace=False)
            samples, rivals = space_rivals(space, designs[fit], accuracy[fit])
            if samples.names not in rows:
                rows[samples.names] = design_features(space, designs[unseen], samples.names)
            at = [samples.names.index(f) for f in samples.names]
            columns = dict(zip(samples.names, rows[samples.names].T[at], strict=True))
            taus = {}
            for rival in rivals:
                x = np.stack([columns[f] for f in rival.model.features], axis=1)
                taus[rival.model.kind] = kendalltau(rival.model.predict(x), accuracy[unseen])[0]
            kind = choose(rivals, f"log_{space.metric}").model.kind
            kinds[kind] += 1
            found.append([taus[kind], *(taus.get(k, np.nan) for k in _KINDS)])
        mean, worst = np.mean(found, axis=0), np.min(found, axis=0)[0]
        result[labels] = float(mean[0])
        cells = "  ".join("  -  " if np.isnan(v) else f"{v:.3f}" for v in mean)
        chosen = ", ".join(f"{k} {n}" for k, n in kinds.most_common())
        known = f"{HYPERNAS[labels]:.3f}" if name == "cifar10" and labels in HYPERNAS else ""
        report(f"  {name:15s}{labels:5d}  {cells}   {worst:.3f}  {known:6s} {chosen}")
    return result


def main() -> None:
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("FLASH_SHARED", beside)))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    report = Report()
    report(
        f"Kendall tau on {_UNSEEN} unseen designs, mean of {options.draws} draws (200-epoch test)"
    )
    report("                 labels chosen trees  kriging score  worst  HyperNAS  chosen kinds")
    bench = Benchmark(options.shared, None)
    for dataset in DATASETS:
        accuracy = bench.accuracy[f"{dataset}_test"]
        judge(report, dataset, bench.space, bench.designs, accuracy, options.draws)
    macro = load_space("nasbench-macro")
    cells = read(options.shared, "nasbench_macro/accuracy")
    designs = np.array([macro.design(macro.family.parse(row["arch"])) for row in cells])
    accuracy = np.array([float(row["mean_acc"]) for row in cells])
    judge(report, "nasbench-macro", macro, designs, accuracy, options.draws)
    if options.out:
        options.out.write_text("\n".join(report.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
