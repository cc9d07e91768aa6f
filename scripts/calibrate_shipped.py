#!/usr/bin/env python3
"""Train the networks that the accuracy models of the CIFAR-10 spaces rest on; goes on where it was.

    python scripts/calibrate_shipped.py draw
    python scripts/calibrate_shipped.py train --data cifar10 --results results --workers 2
    python scripts/calibrate_shipped.py status --results results
    python scripts/calibrate_shipped.py fit --space imagenet-mobilenet-v2

``draw`` writes the lists of designs under ``models/calibration/designs``, before anything is
trained: a sample to fit on, designs to hold out, and a few more of the fronts to fit on. The lists
of anchors are written by hand.
``train`` walks through ``QUEUE`` and appends to one table a space, ``RESULTS/SPACE.csv``; killed
and started again, it loses one epoch of each training at most. Held-out designs come from the
Pareto fronts of ``flash.search``, which is where the model will be used.
``fit`` writes a space's accuracy model into ``models/SPACE.toml`` from its table under
``models/calibration``: rows trained by ``quick`` with anchors trained by ``long`` or published
(``anchors.csv``), or, for ImageNet, published accuracies alone. It prints what the networks held
out and the anchors, each left out of everything, say of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flash.accuracy.level import LEAST_ANCHORS, Level
from flash.accuracy.sampling import sample_designs
from flash.accuracy.trend import depth_and_width_trend
from flash.calibrate import calibrate_from_table
from flash.calibrate.anchors import lift_of, long_trainings, read_anchors
from flash.calibrate.fitting import fit_rows, judge, write_space
from flash.search import search
from flash.spaces.space import load_space
from flash.training.campaign import Campaign, carry_out, read_designs
from flash.training.datasets import read_images
from flash.training.jobs import Event, Failed, Finished, Job
from flash.training.recipe import recipe_named
from flash.training.results import read_results
from flash.training.trainer import trainer_for

_ROOT = Path(__file__).resolve().parents[1]
_LISTS = _ROOT / "models" / "calibration" / "designs"
#: Multiply-accumulates of the networks trained: 2 to 60 million.
_LEAST_MACS, _MOST_MACS = 2e6, 60e6
_SEED = 0
#: Where held-out designs come from: fronts of these scores against latency on these targets.
_TARGETS = ("rpi3b", "x86-avx512")
_SCORES = ("nn_degree", "nn_mass", "sed")
_HELD_OUT, _FIT_FRONTS = 12, 6
#: Of the held-out designs so many at most have a cell of over 8 layers and no skip channels; of
#: those of the fronts to fit on none, as samples have up to two.
_MOST_SKIPLESS = 1
_SAMPLES = {"cifar10-concat": 28, "cifar10-add": 24, "cifar10-mobilenet-v2": 24}


@dataclass(frozen=True)
class Entry:
    """The designs ``first`` to ``last`` (not included) of a list, by a recipe."""

    space: str
    list_name: str
    recipe: str
    first: int = 0
    last: int | None = None

    @property
    def path(self) -> Path:
        """The list's file."""
        return _LISTS / f"{self.space}-{self.list_name}.txt"

    def designs(self) -> dict[str, str]:
        """Design -> split, in the order of training."""
        listed = list(read_designs(self.path, load_space(self.space)).items())
        return dict(listed[self.first : self.last])

    def __str__(self) -> str:
        return f"{self.space} {self.list_name} [{self.first}:{self.last or ''}] by {self.recipe}"


#: In the order of value: whatever is trained when the time ends makes the best model of it.
QUEUE = (
    Entry("cifar10-concat", "fit", "quick", 0, 14),
    Entry("cifar10-concat", "held-out", "quick", 0, 6),
    Entry("cifar10-concat", "fit-fronts", "quick"),
    Entry("cifar10-concat", "anchors", "quick"),
    Entry("cifar10-concat", "anchors", "long", 0, 3),
    Entry("cifar10-concat", "fit", "quick", 0, 20),
    Entry("cifar10-concat", "anchors", "long"),
    Entry("cifar10-concat", "held-out", "quick"),
    Entry("cifar10-concat", "fit", "quick"),
    Entry("cifar10-add", "anchors", "quick", 0, 2),
    Entry("cifar10-add", "fit", "quick", 0, 12),
    Entry("cifar10-add", "held-out", "quick", 0, 6),
    Entry("cifar10-mobilenet-v2", "anchors", "quick"),
    Entry("cifar10-mobilenet-v2", "fit", "quick", 0, 12),
    Entry("cifar10-mobilenet-v2", "held-out", "quick", 0, 6),
    Entry("cifar10-add", "anchors", "quick"),
    Entry("cifar10-add", "fit", "quick"),
    Entry("cifar10-add", "held-out", "quick"),
    Entry("cifar10-add", "fit-fronts", "quick"),
    Entry("cifar10-mobilenet-v2", "fit", "quick"),
    Entry("cifar10-mobilenet-v2", "held-out", "quick"),
    Entry("cifar10-mobilenet-v2", "fit-fronts", "quick"),
)


# --------------------------------------------------------------------------------------- lists
def draw() -> None:
    """Write the lists of designs to fit on and to hold out, for every space that lacks one."""
    _LISTS.mkdir(parents=True, exist_ok=True)
    for name, count in _SAMPLES.items():
        space = load_space(name)
        fit = [space.describe(x) for x in sample_designs(space, count, _SEED, _MOST_MACS)]
        anchors = _LISTS / f"{name}-anchors.txt"
        known = [*fit, *(read_designs(anchors, space) if anchors.exists() else ())]
        _write(name, "fit", fit, "sample_designs, seed 0, at most 60 million MACs")
        why = f"fronts of {', '.join(_SCORES)} on {', '.join(_TARGETS)}, seed {_SEED}"
        _write(name, "held-out", _from_fronts(name, known, _HELD_OUT, 5, _MOST_SKIPLESS), why)
        known += read_designs(_LISTS / f"{name}-held-out.txt", space)
        _write(name, "fit-fronts", _from_fronts(name, known, _FIT_FRONTS, 6, 0), why)


def _write(name: str, list_name: str, designs: Sequence[str], source: str) -> None:
    path = Entry(name, list_name, "").path
    if path.exists():
        print(f"{path}: kept")
        return
    split = "held_out" if list_name == "held-out" else "fit"
    lines = [f"# {name}: {source}", *(f"{split} {design}" for design in designs)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{path}: {len(designs)} designs")


def _from_fronts(
    name: str, known: Sequence[str], count: int, stream: int, skipless: int
) -> list[str]:
    """Designs of the fronts, one from each of ``count`` equal parts of their range of log MACs.

    Where a part has none, the one nearest to its middle. Every beginning of the list is spread
    over sizes. None is among the ``known``; ``stream`` tells random draws apart.
    skipless: so many at most have a deep cell without skips.
    """
    macs = {
        design.description: design.macs
        for target in _TARGETS
        for score in _SCORES
        for design in search(target, name, metric=score, seed=_SEED).front
        if _LEAST_MACS <= design.macs <= _MOST_MACS
    }
    rng = np.random.default_rng([_SEED, stream])
    taken = {_values(name, text) for text in known}
    left = {
        text: float(np.log(macs[text])) for text in sorted(macs) if _values(name, text) not in taken
    }
    edges = np.linspace(min(left.values()), max(left.values()), count + 1)
    drawn = []
    for part in np.arange(count) * 5 % count:  # 5 has no factor in common with 6 or 12
        if skipless <= 0:
            left = {text: x for text, x in left.items() if not _is_skipless(name, text)}
        inside = [text for text, x in left.items() if edges[part] <= x <= edges[part + 1]]
        middle = edges[part : part + 2].mean()
        if not inside:
            inside = [min(left, key=lambda text: abs(left[text] - middle))]
        drawn.append(inside[rng.integers(len(inside))])
        skipless -= _is_skipless(name, drawn[-1])
        del left[drawn[-1]]
    return drawn


def _values(space_name: str, text: str) -> tuple[tuple[str, int], ...]:
    """The design's variables and their values: equal for equal networks."""
    space = load_space(space_name)
    values = space.decode(space.design(space.family.parse(text))[None])
    named = {variable: values[:, k] for k, variable in enumerate(space.variables)}
    canonical = space.family.canonical(named)
    return tuple((name, int(np.ravel(canonical[name])[0])) for name in space.variables)


def _is_skipless(name: str, text: str) -> bool:
    """Whether a cell of the design has over 8 layers and no skip channels (concat, add)."""
    values = dict(_values(name, text))
    return any(
        values[f"t{variable[1:]}"] == 0 and value * {"d": 1, "b": 2}[variable[0]] > 8
        for variable, value in values.items()
        if variable[0] in "db" and f"t{variable[1:]}" in values
    )


# ------------------------------------------------------------------------------------ training
def train(data: Path, results: Path, workers: int, seed: int) -> None:
    """Train what the tables lack, in the queue's order."""
    results.mkdir(parents=True, exist_ok=True)
    for entry in QUEUE:
        space = load_space(entry.space)
        recipe = recipe_named(entry.recipe)
        images = read_images(data, space.family.shape, space.family.classes).subset(recipe.images)
        campaign = Campaign(space, entry.space, recipe, 0, 0, None, seed, entry.designs())
        table = results / f"{entry.space}.csv"
        _note(f"{entry}: into {table}")
        outcome = carry_out(campaign, images, table, trainer_for(recipe, images, workers), _tell)
        _note(f"{entry}: {len(outcome.trained)} trained, {len(outcome.failed)} failed")


def _tell(event: Event, jobs: Sequence[Job]) -> None:
    if isinstance(event, Finished):
        curve = " ".join(f"{value:.1f}" for value in event.curve)
        _note(
            f"{event.job.recipe.name} {event.job.design}: validation "
            f"{event.validation_accuracy:.2f} %, {event.seconds:.0f} s; {curve}"
        )
    elif isinstance(event, Failed):
        _note(f"{event.job.recipe.name} {event.job.design}: failed: {event.reason}")


def _note(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


# ----------------------------------------------------------------------------------------- fit
#: Of 2,373 sub-networks of one MobileNet v3 that differ in kernels, expansions and depths
#: (OFA; IntelLabs/DyNAS-T, Apache-2.0), log(error) about a power law of the MACs has this
#: deviation (``scripts/validate/accuracy_forms.py``).
_SUBNETWORKS = 0.0182
#: A table of uniform widths shows nothing of networks whose stages differ in width; those
#: sub-networks show less, as their widths are all the same. Twice their deviation is our rule.
_SHAPE_DEVIATION = 2 * _SUBNETWORKS
#: Half of a 90 % interval, in deviations.
_NINETY = 1.645


def fit(name: str) -> None:
    """Write the accuracy model of a space into its file, and print how good it is."""
    place, table = _ROOT / "models" / f"{name}.toml", _LISTS.parent / f"{name}.csv"
    if name.startswith("imagenet"):
        level = Level("ImageNet top-1 by TF-slim's recipe", 0, _NINETY * _SHAPE_DEVIATION)
        print(calibrate_from_table(name, table, out=place, level=level))
        return
    space, recipe = load_space(name), recipe_named("quick")
    rows = [row for row in read_results(table) if row.recipe == recipe.name]
    digests = {row.digest for row in rows}
    if len(digests) != 1:
        sys.exit(f"{table}: expected the rows of one set of images, found {len(digests)}")
    digest = digests.pop() or ""
    long = read_anchors(_LISTS.parent / "anchors.csv", space)
    long += long_trainings(read_results(table), space, digest, recipe.epochs)
    lift = lift_of(space, rows, long)
    images = "cifar10 (JPEG; 45000 training, 5000 validation images)"
    model = fit_rows(space, rows, recipe, images, digest, lift)
    if model is None:
        sys.exit(f"{table}: too few networks")
    if why := depth_and_width_trend(space, model).contradiction:
        sys.exit(f"{name} keeps its file: {why}")
    write_space(name, place, model)
    print(f"{name}: {model.statement}\nheld out: {judge(space, model, rows, lift)}")
    for anchor in long if len(long) > LEAST_ANCHORS else ():
        others = [other for other in long if other is not anchor]
        fewer = [row for row in rows if row.design != anchor.design]
        lift = lift_of(space, fewer, others)
        without = fit_rows(space, fewer, recipe, images, digest, lift)
        if without is not None:
            design = space.design(space.family.parse(anchor.design))
            found = without.predict(space, design[None])
            print(
                f"anchor left out: {anchor.design}: {anchor.accuracy:.2f} %, predicted "
                f"{found.value[0]:.2f} ({found.low[0]:.2f} to {found.high[0]:.2f})"
            )


# -------------------------------------------------------------------------------------- status
def status(results: Path) -> None:
    """Print how much of the queue is done, and what the rest will take at the pace so far."""
    seconds = macs = 0.0
    rest = 0.0
    seen: set[tuple[str, str, str]] = set()
    for entry in QUEUE:
        space = load_space(entry.space)
        rows = {
            row.design: row
            for row in read_results(results / f"{entry.space}.csv")
            if row.recipe == entry.recipe and row.validation_accuracy is not None
        }
        designs = entry.designs()
        epochs = recipe_named(entry.recipe).epochs
        for text in designs:
            key = (entry.space, text, entry.recipe)
            if key in seen:
                continue
            seen.add(key)
            # A step costs something whatever the network's size, about that of 5 million MACs.
            size = epochs * (space.network(space.design(space.family.parse(text))).macs + 5e6)
            if text in rows:
                seconds += rows[text].seconds
                macs += size
            else:
                rest += size
        print(f"{entry}: {sum(text in rows for text in designs)} of {len(designs)}")
    if macs:
        left = rest * seconds / macs
        print(f"{seconds / 3600:.2f} h of processor time spent, about {left / 3600:.1f} h left")


def main() -> int:
    """Run one of the four commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("draw", "train", "status", "fit"))
    parser.add_argument("--space", action="append", default=[], help="space to fit")
    parser.add_argument("--data", type=Path, help="folder or file of CIFAR-10's images")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of tables")
    parser.add_argument("--workers", type=int, help="trainings at a time (one a core)")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    options = parser.parse_args()
    if options.command == "draw":
        draw()
    elif options.command == "status":
        status(options.results)
    elif options.command == "fit":
        for name in options.space:
            fit(name)
    elif options.data is None:
        parser.error("train needs --data")
    else:
        train(options.data, options.results, options.workers, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
