"""``python -m flash.calibrate``: train a few sampled designs -> the space's accuracy model.

From Python: ``print(calibrate("cifar10-concat", "my-images", results="trained.csv"))``.

What is trained is in a plain CSV (``flash.training.results``), and what it has is not trained
again: started again after an interruption, or with more ``--samples``, it goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flash.calibrate.anchors import lift_of, long_trainings, read_anchors
from flash.calibrate.own_classes import write_for_classes
from flash.command import CommandParser, check_place
from flash.errors import NothingDoneError, UsageError
from flash.files.results import put_result, replacing
from flash.quantities import parse_count, parse_whole
from flash.report.base import Result
from flash.spaces.space import load_space
from flash.training.campaign import Campaign, Outcome, carry_out, read_designs
from flash.training.datasets import read_images
from flash.training.jobs import Event, Failed, Finished, Job, Progress
from flash.training.recipe import RECIPES
from flash.training.results import read_results
from flash.training.trainer import check_classifiers, recipe_for, trainer_for
from flash.training.validation_size import resolution_points, standard_error_points

if TYPE_CHECKING:
    from flash.accuracy.calibration import AccuracyModel
    from flash.accuracy.trend import Trend
    from flash.calibrate.fitting import HeldOut
    from flash.calibrate.from_table import TableCalibration

__all__ = ["Calibration", "main", "calibrate"]

_SCHEMA = "flash.calibration/1"
_SAMPLES, _HELD_OUT = 30, 12
#: Networks of more would train for hours on a small CPU; what a fit says of them is marked.
_MAX_MACS = "60M"
_MOST = 100_000

Tell = Callable[[Event, Sequence[Job]], None]


@dataclass(frozen=True, repr=False)
class Calibration(Result):
    """What a calibration came to.

    table:    the results' CSV; ``outcome`` has its rows of this space, recipe and images.
    model:    fitted to the rows that are not held out; None where they are too few.
    held_out: how it does on the held-out rows; None without a model or with fewer than 2.
    file:     the space's file with the model.
    trend:    what the model says of depth and width; None without a model.
    validation_images: that accuracies were counted on.
    """

    space: str
    recipe: str
    table: Path
    outcome: Outcome
    model: AccuracyModel | None
    held_out: HeldOut | None
    file: Path | None
    trend: Trend | None = None
    validation_images: int = 0

    def document(self) -> dict[str, Any]:
        """As plain values, schema ``flash.calibration/1``."""
        model = self.model
        return {
            "schema": _SCHEMA,
            "space": self.space,
            "recipe": self.recipe,
            "results": str(self.table),
            "rows": [asdict(row) for row in self.outcome.rows],
            "trained_now": len(self.outcome.trained),
            "failed": [{"design": text, "reason": why} for text, why in self.outcome.failed],
            "outside": [],
            "model": None
            if model is None
            else {"kind": model.regression.kind} | asdict(model.provenance),
            "held_out": None if self.held_out is None else asdict(self.held_out),
            "trend": None if self.trend is None else asdict(self.trend),
            "file": None if self.file is None else str(self.file),
        }

    def to_records(self) -> list[Mapping[str, Any]]:
        """The rows of the table of trained networks."""
        return [asdict(row) for row in self.outcome.rows]

    def __str__(self) -> str:
        return "\n".join(self.lines()) + "\n"

    def lines(self) -> list[str]:
        """For people: what was trained, the model, how it does on networks held out."""
        rows, failed = self.outcome.rows, self.outcome.failed
        aside = sum(row.split == "held_out" for row in rows)
        validation = _range([row.validation_accuracy for row in rows])
        test = _range([row.test_accuracy for row in rows])
        lines = [
            f"space     {self.space}",
            f"recipe    {self.recipe}",
            f"trained   {len(rows)} networks ({len(self.outcome.trained)} now), {aside} of them "
            f"held out; accuracy {validation} on validation images, {test} on test images, "
            "measured",
        ]
        lines += self._resolution()
        lines += [f"failed    {design}: {why}" for design, why in failed]
        if self.model is None:
            lines.append(
                "model     none: a fit takes more networks that are not held out (--samples)"
            )
        else:
            lines.append(f"model     {self.model.statement}")
            lines += self.model.careful_lines
        if self.held_out is not None:
            lines.append(f"held out  {self.held_out}")
        if self.trend is not None:
            lines += self.trend.lines()
        files = [str(self.table)] + ([] if self.file is None else [str(self.file)])
        return [*lines, f"files     {', '.join(files)}"]

    def _resolution(self) -> list[str]:
        """What differences of accuracy the validation images can tell."""
        count, networks = self.validation_images, len(self.outcome.rows)
        known = [row.validation_accuracy or 0.0 for row in self.outcome.rows]
        if not count or not networks:
            return []
        error = max(standard_error_points(count, accuracy) for accuracy in known)
        return [
            f"resolved  {count} validation images: standard error {error:.2f} points at most, all "
            f"{networks} within {resolution_points(count, networks):.1f} (Hoeffding, 90 %)"
        ]


def _range(accuracies: Sequence[float | None]) -> str:
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return f"{min(known):.2f} to {max(known):.2f} %" if known else "not known"


def calibrate(
    space: str,
    data: str | Path,
    *,
    samples: int = _SAMPLES,
    held_out: int = _HELD_OUT,
    max_macs: float | None = 60e6,
    recipe: str = "auto",
    epochs: int | None = None,
    images: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    results: str | Path | None = None,
    out: str | Path | None = None,
    designs: str | Path | None = None,
    anchors: str | Path | None = None,
    ray: str | None = None,
    tell: Tell = lambda event, jobs: None,
    note: Callable[[str], None] = lambda line: None,
) -> Calibration:
    """Train designs sampled from a space, and fit its accuracy model.

    space:    name or TOML file; ``data``: what ``flash.training.datasets.read_images`` reads.
    samples:  designs to fit on; ``held_out``: others, by the same law, to judge the fit by.
    max_macs: the largest network to train, in multiply-accumulates; None for any.
    recipe:   "quick", "long" or "gpu", or "auto" for what is here; ``epochs`` and ``images`` vary
              it.
    seed:     of the sample and of every training.
    workers:  trainings at a time: one a core, or one on a GPU, unless given.
    results:  the table; ``flash-calibration/<space>.csv`` unless given.
    out:      the space's file with the model in it; ``<space>.toml`` beside the table unless given.
              Where the images have another number of classes, it is the space for theirs.
    designs:  file of the designs to train instead of a sample (``read_designs``).
    anchors:  file of designs whose accuracy after a long training is known (``read_anchors``);
              with three of them trained here too, or trained here for more epochs, the model
              shows accuracies after the long training.
    ray:      address of a Ray cluster to train on, or "local".
    tell:     hears every event; ``note`` what was left out of the data.

    Raises ``UsageError``, ``InputError`` (also where the networks trained learned nothing),
    ``InfeasibleError`` (too few designs so small), ``NothingDoneError`` (not one training came to
    an end) or ``FlashError`` (full disk).
    """
    found = load_space(space)
    check_classifiers(found)
    if out:
        check_place(str(out), makes_folders=True)
    chosen = recipe_for(recipe, ray).varied(epochs, images)
    table = Path(results) if results else Path("flash-calibration") / f"{found.name}.csv"
    written = Path(out) if out else table.with_name(f"{found.name}.toml")
    read = read_images(data, found.family.shape, None)
    for line in read.notes:
        note(line)
    if len(read.classes) != found.family.classes:
        note(
            f"{data} has {len(read.classes)} classes, {found.name} is for {found.family.classes}: "
            f"{written} is the same space for {len(read.classes)}"
        )
        write_for_classes(space, written, len(read.classes), read.name)
        space, found = str(written), load_space(str(written))
    given = None if designs is None else read_designs(Path(designs), found)
    long = [] if anchors is None else read_anchors(Path(anchors), found)
    campaign = Campaign(found, space, chosen, samples, held_out, max_macs, seed, given)
    pictures = read.subset(chosen.images)
    trainer = trainer_for(chosen, pictures, workers, ray)
    outcome = carry_out(campaign, pictures, table, trainer, tell)
    if outcome.failed and not outcome.rows:
        design, why = outcome.failed[0]
        raise NothingDoneError(f"no training came to an end; {design}: {why}")
    from flash.calibrate import fitting  # noqa: PLC0415 (scipy.stats takes half a second)

    long += long_trainings(read_results(table), found, pictures.digest, chosen.epochs)
    lift = lift_of(found, outcome.rows, long)
    data_text = fitting.describe_images(pictures, chosen)
    model = fitting.fit_rows(found, outcome.rows, chosen, data_text, pictures.digest, lift)
    if model is not None:
        fitting.write_space(space, written, model)
    return Calibration(
        space=found.name,
        recipe=chosen.describe(),
        table=table,
        outcome=outcome,
        model=model,
        held_out=None if model is None else fitting.judge(found, model, outcome.rows, lift),
        file=None if model is None else written,
        trend=None if model is None else fitting.depth_and_width_trend(found, model),
        validation_images=len(pictures.split(chosen.validation)[1]),
    )


# -------------------------------------------------------------------------- what people read
class _Log:
    """Tells of each training that ends, with the time left at the pace so far."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.shares: dict[Job, float] = {}
        self.ended = 0

    def __call__(self, event: Event, jobs: Sequence[Job]) -> None:
        if isinstance(event, Progress):
            self.shares[event.job] = event.share
        if not isinstance(event, Finished | Failed):
            return
        self.ended += 1
        self.shares[event.job] = 1.0
        if isinstance(event, Failed):
            what = f"failed: {event.reason}"
        else:
            what = f"{event.validation_accuracy:.2f} % in {event.seconds:.0f} s"
        share = sum(self.shares.values()) / len(jobs)
        left = (time.monotonic() - self.began) * (1 - share) / share
        _note(f"[{self.ended}/{len(jobs)}] {event.job.design}: {what}{_left(left)}")


def _left(seconds: float) -> str:
    if seconds < 1:
        return ""
    minutes = round(seconds / 60)
    return f"; about {minutes} min left" if minutes else "; less than a minute left"


def _note(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


# --------------------------------------------------------------------------- the command line
def _parser() -> CommandParser:
    parser = CommandParser(
        "calibrate",
        "Train a few designs of a space on your images: its model of accuracy. Or take a table of\n"
        "networks that somebody else trained.",
        "Started again with the same arguments, it goes on where it was; with more --samples, it\n"
        "trains what is new. Networks that learned nothing are a bad file (4).",
    )
    add = parser.add_argument
    add("--space", required=True, metavar="S", help="space name or file")
    add("--data", metavar="DIR", help="image folders, train.npz + test.npz, or .npz")
    add("--trained", metavar="T.csv", help="instead: columns accuracy, and design or onnx (a file)")
    add("--samples", default=str(_SAMPLES), metavar="N", help="designs to fit on (%(default)s)")
    add("--held-out", default=str(_HELD_OUT), metavar="N", help="others to judge by (%(default)s)")
    add("--designs", metavar="FILE", help="train these instead: lines of split and design")
    add("--anchors", metavar="F.csv", help="design, accuracy, recipe: known after long training")
    add("--max-macs", default=_MAX_MACS, metavar="60M", help="the largest network, or 'any'")
    add("--recipe", default="auto", metavar="R", help=f"auto, {', '.join(RECIPES)} (%(default)s)")
    add("--epochs", metavar="N", help="another number of epochs than the recipe's")
    add("--images", metavar="N", help="another number of training images than the recipe's")
    add("--seed", default="0", metavar="N", help="of the sample and the trainings (%(default)s)")
    add("--workers", metavar="N", help="trainings at a time (one a core; one on a GPU)")
    add("--ray", metavar="ADDRESS", help="train on this Ray cluster; 'local' starts one here")
    add("--results", metavar="FILE.csv", help="the table (flash-calibration/<space>.csv)")
    add("--out", metavar="FILE.toml", help="the space's file with its model (beside the table)")
    add("--json", metavar="FILE", help="write the JSON document to FILE, or to stdout with '-'")
    add("--quiet", action="store_true", help="nothing but the result")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    for name in ("json", "results", "out", "designs", "anchors", "ray", "data", "trained"):
        if getattr(options, name) == "":
            raise UsageError(f"--{name} needs a name")
    given: dict[str, Any] = {
        name: None
        if text is None
        else parse_whole(text, f"--{name.replace('_', '-')}", least, most)
        for name, text, least, most in (
            ("samples", options.samples, 0, _MOST),
            ("held_out", options.held_out, 0, _MOST),
            ("epochs", options.epochs, 1, _MOST),
            ("images", options.images, 1, 2**31),
            ("workers", options.workers, 1, _MOST),
            ("seed", options.seed, 0, 2**31),
        )
    }
    if given["samples"] == given["held_out"] == 0:
        raise UsageError("--samples and --held-out are both 0: nothing to train")
    replaced = replacing(options.out) if options.out else ""
    if options.trained is not None:
        _say(_from_table(options), options, replaced)
        return
    if options.data is None:
        raise UsageError("give images with --data, or a table of trained networks with --trained")
    silent = options.quiet
    try:
        found = calibrate(
            options.space,
            options.data,
            max_macs=None
            if options.max_macs == "any"
            else parse_count(options.max_macs, "--max-macs"),
            recipe=options.recipe,
            results=options.results,
            out=options.out,
            designs=options.designs,
            anchors=options.anchors,
            ray=options.ray,
            tell=(lambda event, jobs: None) if silent else _Log(),
            note=(lambda line: None) if silent else _note,
            **given,
        )
    except KeyboardInterrupt:
        if not silent:
            _note("what was trained is kept; the same command goes on from there")
        raise
    _say(found, options, replaced)


def _from_table(options: argparse.Namespace) -> TableCalibration:
    """The calibration from ``--trained``; raises ``UsageError`` for what only trainings take."""
    for name in ("data", "designs", "anchors", "epochs", "images", "workers", "ray", "results"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name} is for trainings; leave it out with --trained")
    given = {"samples": _SAMPLES, "held_out": _HELD_OUT, "max_macs": _MAX_MACS, "seed": 0}
    for name, default in (given | {"recipe": "auto"}).items():
        if getattr(options, name) != str(default):
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is for trainings; leave it out with --trained")
    from flash.calibrate.from_table import (  # noqa: PLC0415 (scipy.stats takes half a second)
        calibrate_from_table,
    )

    return calibrate_from_table(options.space, options.trained, out=options.out)


def _say(found: Calibration | TableCalibration, options: argparse.Namespace, replaced: str) -> None:
    if options.json:
        put_result(options.json, found.to_json(), options.quiet)
    if options.json != "-":
        sys.stdout.write(str(found))
    if replaced and found.file is not None and not options.quiet:
        _note(f"written: {found.file}{replaced}")
