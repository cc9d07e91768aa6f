"""Shared weights on a space of our own, checked by networks of it that were trained alone.

    python scripts/validate/supernet_own.py [--shared ../shared] [--epochs 8] [--seed 0]
        [--side 16] [--work FOLDER]

The space is ``cifar10-add`` narrowed to the values that its trained networks take, of those (recipe
``quick``, 10 epochs alone each, ``models/calibration/cifar10-add.csv``) that begin 16 channels
wide, end at 96 or fewer, and have cells of six blocks or fewer: a supernet of different widths,
depths and skips. Uniform paths train it on images of 16 x 16; every trained network is then judged
by the shared weights on 5,000 validation images. Printed: rank correlation with its own validation
accuracy, beside what needs no training, and how good the network is that shared weights choose.
About a minute of a core an epoch, kept in --work and gone on with.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from flash.backends.torch.memory import keep_freed_memory
from flash.evaluation import measure
from flash.metrics.rank import score_designs
from flash.spaces.family import InputShape
from flash.spaces.space import SearchSpace, load_space
from flash.supernet import RECIPE, SAMPLERS, WeightBank, score_shared, task_of, train_supernet
from flash.supernet.sampler import Epoch
from flash.training.datasets import read_images

Floats = NDArray[np.float64]
TRAINED = Path(__file__).resolve().parents[2] / "models" / "calibration" / "cifar10-add.csv"
#: Widths of the first cell, of the second and third at most, and most blocks of a cell.
FIRST, SECOND, THIRD, BLOCKS = 16, 64, 96, 6
#: Validation images; the networks lie within six points, and of 1,000 the error is 1.4.
JUDGED = 5000


def own_space(side: int) -> tuple[SearchSpace, NDArray[np.int64], list[dict[str, str]]]:
    """The narrowed space, the trained networks that it holds (its indices), and their rows."""
    whole = load_space("cifar10-add")
    with TRAINED.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["recipe"] == "quick"]
    values = whole.decode(np.array([whole.parse(row["design"]) for row in rows]))
    of = {name: values[:, k] for k, name in enumerate(whole.variables)}
    inside = (of["w1"] == FIRST) & (of["w2"] <= SECOND) & (of["w3"] <= THIRD)
    inside &= np.all([of[name] <= BLOCKS for name in ("b1", "b2", "b3")], axis=0)
    kept = [
        np.searchsorted(grid, np.unique(values[inside, k])) for k, grid in enumerate(whole.grids)
    ]
    family = type(whole.family)(
        InputShape(3, side, side), whole.family.classes, whole.family.options
    )
    space = SearchSpace("cifar10-add-own", "", family, whole.narrowed(kept).grids)
    return space, space.encode(values[inside]), [rows[k] for k in np.flatnonzero(inside)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--work", type=Path, default=Path("flash-out/supernet"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    keep_freed_memory()
    space, designs, rows = own_space(options.side)
    images = read_images(options.shared / "data/cifar10", space.family.shape, 10)
    recipe = RECIPE.varied(epochs=options.epochs)
    bank = WeightBank(space, options.seed)

    def tell(epoch: Epoch) -> None:
        print(epoch, file=sys.stderr, flush=True)

    name = f"own-{options.epochs}-{options.side}px-{options.seed}"
    training = train_supernet(
        bank, SAMPLERS["uniform"](task_of(space, images, recipe)), images, recipe, options.seed,
        checkpoint=options.work / f"{name}.pt", progress=tell,
    )  # fmt: skip
    scores = [score_shared(bank, design, training.batches, JUDGED) for design in designs]
    truth = np.array([float(row["validation_accuracy"]) for row in rows])
    test = np.array([float(row["test_accuracy"]) for row in rows])
    measured = measure(space, designs)
    columns: dict[str, Floats] = {
        "shared weights, accuracy": np.array([score.accuracy for score in scores]),
        "shared weights, -loss": np.array([-score.loss for score in scores]),
        "parameters": measured.params.astype(np.float64),
        "MACs": measured.macs.astype(np.float64),
        "nn_degree": measured.nn_degree.astype(np.float64),
        "rank_score": score_designs(space, designs).rank_score,
    }
    (options.work / f"{name}.json").write_text(
        json.dumps({name: column.tolist() for name, column in columns.items()})
    )
    best = int(np.argmax(truth))
    print(f"{space.size:,} designs, {len(designs)} trained alone: validation {truth.min():.2f} to "
          f"{truth.max():.2f} %, mean {truth.mean():.2f} %; the best, {rows[best]['design']}, "
          f"tests at {test[best]:.2f} %")  # fmt: skip
    print(f"{options.epochs} epochs, seed {options.seed}, {training.seconds:.0f} s of a core\n")
    print("| score | rho (95 %) / tau | its choice: validation, test, rank |\n|---|---|---|")
    for label, column in columns.items():
        rho, (low, high) = spearmanr(column, truth)[0], _ninety_five(column, truth)
        at, tau = int(np.argmax(column)), kendalltau(column, truth)[0]
        place = f"{int((truth > truth[at]).sum()) + 1} of {len(truth)}"
        print(f"| {label} | {rho:.2f} ({low:.2f} to {high:.2f}) / {tau:.2f} | "
              f"{rows[at]['design']}: {truth[at]:.2f}, {test[at]:.2f}, {place} |")  # fmt: skip


def _ninety_five(score: Floats, truth: Floats) -> tuple[float, float]:
    """Ends of the 95 % interval of Spearman over networks drawn again, 400 times."""
    rng = np.random.default_rng(0)
    drawn = (rng.integers(len(truth), size=len(truth)) for _ in range(400))
    low, high = np.percentile([spearmanr(score[r], truth[r])[0] for r in drawn], [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
