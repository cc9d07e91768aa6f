"""What a few accuracies of a space add to the data-free score, and whether they ever spoil it.

    python scripts/validate/few_labels.py [--shared ../shared] [--draws 6] [--out FILE]

Of every space of ``ranking_spaces.py`` with 40 networks or more, 5 to 25 networks drawn at random
are fitted as ``flash.calibrate`` fits them (models that an optimizer can search preferred) and all
others are ranked by the predicted accuracy, and by ``rank_score`` alone. Ten minutes on one core.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from ranking import Report, correlation
from ranking_spaces import SPACES
from scipy.stats import spearmanr

from flash.accuracy.calibration import feature_blocks
from flash.accuracy.features import network_features
from flash.accuracy.fit import choose, rivals
from flash.accuracy.regression import Samples

FITTED = (5, 8, 10, 15, 25)
BLOCKS = feature_blocks("rank_score")
FEATURES = tuple(dict.fromkeys(name for block in BLOCKS for name in block))
SCORE = FEATURES[0]
SIZES = ("log_macs", "log_params")
#: Networks of a space that take part, and the fewest of one that does.
MOST, LEAST = 400, 40


def judge(report: Report, name: str, shared: Path, draws: int) -> None:
    """Lines of one space: a task each, a column a number of labels."""
    space = SPACES[name](shared)
    if len(space.names) < LEAST:
        return
    chosen = np.random.default_rng(1).permutation(len(space.names))[:MOST]
    rows = np.stack([network_features(space.builds[i](), FEATURES) for i in chosen])
    for task, accuracies in space.truths.items():
        truth = accuracies[chosen]
        known = np.flatnonzero(np.isfinite(truth))
        cells = []
        for fitted in FITTED:
            gains = [_gain(rows, truth, known, fitted, seed) for seed in range(draws)]
            cells.append(f"{np.mean(gains):+.3f} ({min(gains):+.3f})")
        score = correlation(spearmanr, rows[known, 0], truth[known])
        report(f"  {name:8s}{task[:14]:15s}{score:6.3f}  " + "  ".join(cells))


def _gain(rows: np.ndarray, truth: np.ndarray, known: np.ndarray, fitted: int, seed: int) -> float:
    """Spearman of the prediction of what was not fitted, above that of the score."""
    drawn = np.random.default_rng(seed).permutation(known)
    fit, rest = drawn[:fitted], drawn[fitted:]
    accuracy = truth[fit]
    spread = float(np.ptp(accuracy))
    percent = truth[known].min() >= 1
    bounds = (0.0, 100.0) if percent else (accuracy.min() - spread, accuracy.max() + spread)
    samples = Samples(FEATURES, rows[fit], accuracy, bounds)
    model = choose(rivals(samples, BLOCKS, (), SIZES), SCORE).model
    predicted = model.predict(rows[rest][:, [FEATURES.index(name) for name in model.features]])
    alone = correlation(spearmanr, rows[rest, 0], truth[rest])
    found = correlation(spearmanr, predicted, truth[rest])
    return (0.0 if np.isnan(found) else found) - alone


def main() -> None:
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("FLASH_SHARED", beside)))
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    report = Report()
    report("Spearman of the score alone, and what a calibration by so many labels adds to it:")
    report(f"mean of {options.draws} draws (the worst of them)")
    report(f"  {'':23s} score  " + "  ".join(f"{fitted:<15d}" for fitted in FITTED))
    for name in SPACES:
        judge(report, name, options.shared, options.draws)
    if options.out:
        options.out.write_text("\n".join(report.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
