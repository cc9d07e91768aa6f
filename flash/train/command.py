"""``python -m flash.train``: the command line of ``flash.train.train``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flash.command import CommandParser
from flash.errors import UsageError
from flash.files.results import put_result
from flash.quantities import parse_number, parse_seed, parse_whole
from flash.train.pipeline import AUGMENTATIONS, to_stderr, train

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    if "" in (options.json, options.out):
        raise UsageError("--json and --out need a name")
    report = train(
        options.model,
        options.data,
        design=options.design,
        space=options.space,
        task=options.task,
        teacher=options.teacher,
        epochs=parse_whole(options.epochs, "--epochs", 1),
        batch=parse_whole(options.batch, "--batch", 1),
        rate=parse_number(options.rate, "--rate"),
        patience=parse_whole(options.patience, "--patience", 1),
        augmentation=options.augmentation,
        precision=options.precision,
        seed=parse_seed(options.seed),
        out=options.out,
        progress=None if options.quiet else to_stderr,
    )
    if options.json == "-":
        sys.stdout.write(report.to_json())
        return
    if options.json:
        put_result(options.json, report.to_json(), options.quiet)
    lines = [*report.lines(), *(f"written: {path}" for path in report.files)]
    sys.stdout.write("\n".join(lines) + "\n")


def _parser() -> CommandParser:
    parser = CommandParser(
        "train",
        "A model trained on your own data: class folders of images, arrays, or a table of files.",
        "Interrupted, the same command goes on where it was.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="an ONNX file, manifest.json or front.json")
    add("--data", required=True, metavar="D", help="class folders, .npz, a folder with x.npy and "
        "y.npy, or .csv")  # fmt: skip
    add("--design", metavar="D", help="of a front.json or manifest.json: an id or a pick")
    add("--space", metavar="FILE", help="the space's file, if it is your own")
    add("--task", metavar="T", help="classification, multi-label or regression (as labels look)")
    add("--teacher", metavar="MODEL.onnx", help="a model to learn from too, say the original")
    add("--epochs", default="30", metavar="N", help="at most (%(default)s)")
    add("--batch", default="32", metavar="N", help="samples a step (%(default)s)")
    add("--rate", default="0.002", metavar="R", help="highest learning rate (%(default)s)")
    add("--patience", default="10", metavar="N", help="epochs without a better score (%(default)s)")
    add("--augmentation", default="light", metavar="A", help=f"{', '.join(AUGMENTATIONS)} "
        "(%(default)s)")  # fmt: skip
    add("--precision", default="auto", metavar="P", help="auto: bf16 products where the processor "
        "has them; or fp32 (%(default)s)")  # fmt: skip
    add("--seed", default="0", metavar="N", help="seed of everything random (%(default)s)")
    add("--out", default="flash-train", metavar="DIR", help="folder for the files (%(default)s)")
    add("--json", metavar="FILE", help="write the JSON document to FILE, or to stdout with '-'")
    add("--quiet", action="store_true", help="no progress")
    return parser
