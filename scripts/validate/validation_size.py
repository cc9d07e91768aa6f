"""How the order of trained networks depends on the number of validation images.

    python scripts/validate/validation_size.py [--space cifar10-concat ...] [--draws 500]

For each space with a table ``models/calibration/SPACE.csv``: of the networks trained by one recipe,
Spearman between accuracy on so many validation images and accuracy on the test images, mean and 5
to 95 % over draws. Of the images a network was validated on, a subset is drawn at random for each
network apart, so right answers are hypergeometric. Networks that share their subset err together
and keep their order better: the curve is a lower bound (ours). Its last row, all images, is
measured, and free of that assumption.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from flash.training.results import TrainedDesign, read_results
from flash.training.validation_size import standard_error_points

_TABLES = Path(__file__).resolve().parents[2] / "models" / "calibration"
#: Validation images of the recipes ``quick`` and ``long``, and subsets of them.
_IMAGES = 5000
_SUBSETS = (50, 100, 250, 500, 1000, 2500)


def curve(rows: list[TrainedDesign], draws: int, seed: int) -> list[tuple[int, list[float]]]:
    """Images -> Spearman in each draw."""
    test = np.array([row.test_accuracy for row in rows])
    right = np.array([round((row.validation_accuracy or 0.0) / 100 * _IMAGES) for row in rows])
    rng = np.random.default_rng(seed)
    found = []
    for images in _SUBSETS:
        drawn = rng.hypergeometric(right, _IMAGES - right, images, size=(draws, len(rows)))
        found.append((images, [_order(counts, test) for counts in drawn]))
    return [*found, (_IMAGES, [_order(right, test)])]


def _order(counts: NDArray[np.int64], test: NDArray[np.float64]) -> float:
    return 0.0 if np.ptp(counts) == 0 else float(spearmanr(counts, test)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--space", action="append", help="only this space")
    parser.add_argument("--recipe", default="quick", help="networks trained by this one")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for path in sorted(_TABLES.glob("cifar10-*.csv")):
        if options.space and path.stem not in options.space:
            continue
        rows = [
            row
            for row in read_results(path)
            if row.recipe == options.recipe and row.validation_accuracy is not None
        ]
        if len(rows) < 3:
            continue
        level = float(np.mean([row.validation_accuracy or 0.0 for row in rows]))
        print(f"{path.stem}, {len(rows)} networks by {options.recipe}, mean {level:.1f} %")
        print("images  standard error  Spearman with test accuracy (5 to 95 %)")
        for images, found in curve(rows, options.draws, options.seed):
            low, high = np.quantile(found, [0.05, 0.95])
            error = standard_error_points(images, level)
            print(f"{images:6d}  {error:14.2f}  {np.mean(found):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
