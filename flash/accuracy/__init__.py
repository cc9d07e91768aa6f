"""From scores to predicted accuracy: which designs to train, and models fitted to them."""

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
