"""``train``: a model and the user's data -> a trained model that carries its preprocessing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import InputError, UsageError, did_you_mean
from flash.files.labelled import Labelled, read_labelled
from flash.files.results import refuse_others_files
from flash.files.writing import write_folder
from flash.train.curves import curves_svg
from flash.train.predict_file import PREDICT
from flash.train.report import TrainReport, measured
from flash.train.start import read_start
from flash.training.splits import Split, split

if TYPE_CHECKING:
    from flash.training.own_data import Fitted, Plan

__all__ = ["AUGMENTATIONS", "PRECISIONS", "train"]

AUGMENTATIONS: Final = ("none", "light", "strong")
PRECISIONS: Final = ("auto", "fp32")


def train(
    model: str | Path,
    data: str | Path,
    *,
    design: str | None = None,
    space: str | None = None,
    task: str | None = None,
    teacher: str | Path | None = None,
    epochs: int = 30,
    batch: int = 32,
    rate: float = 2e-3,
    patience: int = 10,
    augmentation: str = "light",
    precision: str = "auto",
    seed: int = 0,
    out: str | Path = "flash-train",
    progress: Callable[[str], None] | None = None,
) -> TrainReport:
    """Train a model on data, write it, and say how well it does on samples it has not seen.

    model:   an ONNX file (a shrunk one, say), ``manifest.json`` of an export, or
             ``front.json`` of a search or of ``flash.shrink``, with ``design`` an id or a pick.
    data:    see ``flash.files.labelled``.  task: what its labels are, if not what they look like.
    teacher: an ONNX model whose outputs are learnt too, the original of a shrunk one.
    rate:    the highest learning rate of the cycle.
    patience: epochs without a better validation score after which it ends.
    augmentation: "none", "light" or "strong".
    precision: "auto", products in bf16 where the processor computes in it, or "fp32".
    out:     folder for ``NAME-trained.onnx``, ``.pt``, ``preprocessing.json``, ``train.json``,
             ``curves.svg``, ``predict.py``; a training that was cut goes on from there.
    progress: told a line after every epoch.

    Raises ``InputError`` for files that cannot be used, ``UsageError`` for arguments that
    cannot be, ``NothingDoneError`` where the loss is no finite number.
    """
    plan = _plan(epochs, batch, rate, patience, augmentation, precision, seed)
    from flash.backends import static_input, with_weights  # noqa: PLC0415 (extras)
    from flash.training.own_data import fit_model, predict  # noqa: PLC0415 (an extra)

    start = read_start(model, design, space, seed)
    refuse_others_files(out, _names(Path(model).stem))
    shape = static_input(start)
    samples = read_labelled(data, shape, task)
    start = _fitting(start, len(samples.names), seed)
    parts = split(samples, plan.validation, seed)
    scaling = _scaling(samples, parts.train)
    fitted = fit_model(
        start,
        samples,
        parts,
        plan,
        scaling,
        teacher=_teacher(teacher, shape, len(samples.names)),
        checkpoint=Path(out) / "flash-checkpoint.pt",
        progress=_telling(progress, epochs),
    )
    trained = with_weights(start, fitted.weights)
    how = _preprocessing(samples, shape, scaling, parts.train)
    found = predict(trained, samples, parts.test, scaling)
    if samples.task == "regression":
        found = found * np.array(how["target_deviation"]) + np.array(how["target_mean"])
    report = _report(Path(model).stem, samples, parts, fitted, found, plan)
    files = write_folder(out, _files(report, trained, fitted, how))
    (Path(out) / "flash-checkpoint.pt").unlink(missing_ok=True)
    return replace(report, files=files)


def _plan(
    epochs: int,
    batch: int,
    rate: float,
    patience: int,
    augmentation: str,
    precision: str,
    seed: int,
) -> Plan:
    """How to train; refuses what cannot be."""
    for name, given, known in (
        ("augmentation", augmentation, AUGMENTATIONS),
        ("precision", precision, PRECISIONS),
    ):
        if given not in known:
            raise UsageError(f"unknown {name} '{given}'{did_you_mean(given, known)}")
    for name, value in (("epochs", epochs), ("batch", batch), ("patience", patience)):
        if value < 1:
            raise UsageError(f"{name} must be 1 or more, got {value}")
    if not 0 < rate < 10:
        raise UsageError(f"the rate must be above 0 and below 10, got {rate:g}")
    from flash.training.own_data import Plan  # noqa: PLC0415 (an extra)
    from flash.training.precision import computes_bf16  # noqa: PLC0415 (an extra)

    return Plan(
        epochs,
        batch,
        rate,
        patience=patience,
        augmentation=augmentation,
        seed=seed,
        mixed=precision == "auto" and computes_bf16(),
    )


def _fitting(start: Any, outputs: int, seed: int) -> Any:
    """The model with as many outputs as the data have labels."""
    from flash.backends import output_count, with_outputs  # noqa: PLC0415 (extras)

    return start if output_count(start) == outputs else with_outputs(start, outputs, seed)


def _telling(
    progress: Callable[[str], None] | None, epochs: int
) -> Callable[[int, float, float, float], None]:
    """A line of progress after every epoch."""

    def told(epoch: int, loss: float, score: float, left: float) -> None:
        if progress is not None:
            shown = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min"
            progress(
                f"epoch {epoch} of {epochs}: loss {loss:.4g}, validation {score:.4g}, {shown} left"
            )

    return told


def _report(
    name: str,
    samples: Labelled,
    parts: Split,
    fitted: Fitted,
    outputs: NDArray[Any],
    plan: Plan,
) -> TrainReport:
    """What the training came to, without its files."""
    metrics, by_name, confusion = measured(
        outputs, samples.labels[parts.test], samples.task, samples.names
    )
    notes = list(samples.notes)
    notes += ["ended early"] if fitted.stopped_early else []
    notes += ["trained with products in bf16"] if plan.mixed else []
    return TrainReport(
        model=name,
        task=samples.task,
        names=samples.names,
        samples={
            "training": len(parts.train),
            "validation": len(parts.validation),
            "test": len(parts.test),
        },
        metrics=metrics,
        by_name=by_name,
        confusion=confusion,
        loss=fitted.loss,
        score=fitted.score,
        best_epoch=fitted.best_epoch,
        seconds=fitted.seconds,
        notes=tuple(notes),
    )


def _files(
    report: TrainReport, trained: Any, fitted: Fitted, how: dict[str, Any]
) -> dict[str, str | bytes]:
    """The trained model with its preprocessing, and what is told of it, by file name."""
    from flash.backends import described_model, state_file  # noqa: PLC0415 (extras)

    stem, text = report.model, json.dumps(how, ensure_ascii=False)
    contents = (
        described_model(trained, {"flash.preprocessing": text}),
        state_file(fitted.weights),
        json.dumps(how, indent=1, ensure_ascii=False) + "\n",
        report.to_json(),
        curves_svg(stem, fitted.loss, fitted.score),
        PREDICT,
    )
    return dict(zip(_names(stem), contents, strict=True))


def _names(stem: str) -> tuple[str, ...]:
    """The files of a training."""
    documents = ("preprocessing.json", "train.json", "curves.svg", "predict.py")
    return (f"{stem}-trained.onnx", f"{stem}-trained.pt", *documents)


def _scaling(
    samples: Labelled, train: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each channel over the training samples."""
    count, mean, square = 0, np.zeros(samples.inputs.shape[1]), np.zeros(samples.inputs.shape[1])
    for start in range(0, len(train), 256):
        own = samples.inputs[train[start : start + 256]].astype(np.float64)
        flat = own.swapaxes(0, 1).reshape(own.shape[1], -1)
        count += flat.shape[1]
        mean += flat.sum(1)
        square += (flat**2).sum(1)
    mean = mean / count
    deviation = np.sqrt(np.maximum(square / count - mean**2, 0.0))
    deviation = np.where(deviation > 1e-12, deviation, 1.0)
    return mean.astype(np.float32), deviation.astype(np.float32)


def _teacher(path: str | Path | None, shape: tuple[int, ...], outputs: int) -> Any:
    if path is None:
        return None
    from flash.backends import output_count, static_input, variants_model  # noqa: PLC0415

    model = variants_model(Path(path))
    if static_input(model) != shape or output_count(model) != outputs:
        raise InputError(
            f"{path}: reads {static_input(model)} and gives {output_count(model)} numbers; the "
            f"model reads {shape} and the data have {outputs}"
        )
    return model


def _preprocessing(
    samples: Labelled,
    shape: tuple[int, ...],
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]],
    train: NDArray[np.int64],
) -> dict[str, Any]:
    """All that has to be done to a sample before the model reads it, and what its outputs are."""
    mean, deviation = scaling
    found: dict[str, Any] = {
        "schema": "flash.preprocessing/1",
        "task": samples.task,
        "names": list(samples.names),
        "layout": "NC" + "HWD"[: len(shape) - 1] if len(shape) != 2 else "NCL",
        "shape": list(shape),
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
    }
    if samples.images:
        found["colour"] = {1: "L", 3: "RGB", 4: "RGBA"}.get(shape[0], "")
        found["resize"] = "bicubic"
        found["range"] = [0, 255]
    if samples.task == "regression":
        own = samples.labels[train]
        found["target_mean"] = own.mean(0).tolist()
        found["target_deviation"] = np.maximum(own.std(0), 1e-12).tolist()
    return found


def to_stderr(line: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
