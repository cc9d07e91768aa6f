"""From scores to predicted accuracy: which designs to train, and models fitted to them."""

from flash.accuracy.calibration import (
    AccuracyModel,
    Prediction,
    Provenance,
    fit_space,
    space_rivals,
)
from flash.accuracy.sampling import sample_designs, split_designs
from flash.accuracy.storage import accuracy_of, accuracy_text, write_accuracy

__all__ = [
    "AccuracyModel",
    "Prediction",
    "Provenance",
    "accuracy_of",
    "accuracy_text",
    "fit_space",
    "sample_designs",
    "space_rivals",
    "split_designs",
    "write_accuracy",
]
