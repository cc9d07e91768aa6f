"""From scores to predicted accuracy: which designs to train, and models fitted to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.accuracy.calibration import (
        AccuracyModel,
        Prediction,
        Provenance,
        fit_space,
        space_rivals,
    )
    from flash.accuracy.sampling import sample_designs, split_designs
    from flash.accuracy.storage import (
        accuracy_of,
        accuracy_text,
        narrow_to_trained,
        why_no_accuracy,
        write_accuracy,
    )
    from flash.accuracy.task import Task

__all__ = [
    "AccuracyModel",
    "Prediction",
    "Provenance",
    "Task",
    "accuracy_of",
    "accuracy_text",
    "fit_space",
    "narrow_to_trained",
    "sample_designs",
    "space_rivals",
    "split_designs",
    "why_no_accuracy",
    "write_accuracy",
]

_HOMES = {
    "calibration": (
        "AccuracyModel",
        "Prediction",
        "Provenance",
        "fit_space",
        "space_rivals",
    ),
    "sampling": (
        "sample_designs",
        "split_designs",
    ),
    "storage": (
        "accuracy_of",
        "accuracy_text",
        "narrow_to_trained",
        "why_no_accuracy",
        "write_accuracy",
    ),
    "task": ("Task",),
}

__getattr__ = lazily(
    __name__, {name: (module, "") for module, names in _HOMES.items() for name in names}
)
