"""flash: hardware-aware co-design of neural networks.

``flash.search(target="rpi3b")`` does from Python what ``python -m flash.search`` does from a
shell. Commands are imported when first used, so ``import flash`` costs nothing.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

__all__ = [
    "COMMANDS",
    "__version__",
    "calibrate",
    "estimate",
    "export",
    "fit",
    "profile",
    "search",
]

__version__ = "0.1.0"

#: Commands and what they do, in the order people meet them.
COMMANDS = {
    "search": "space + target -> certified Pareto designs",
    "estimate": "designs of a space, or ONNX files -> metrics and costs on a target",
    "calibrate": "train a few sampled designs -> the space's accuracy model",
    "export": "designs of a front -> checked ONNX files and a manifest",
    "profile": "networks run on this device, or one over ssh -> measurements",
    "fit": "measurements of a device -> its profile, with held-out error",
}


class Command(ModuleType):
    """A module that is also the function of its name: ``flash.search(...)``."""

    run: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module's ``run``."""
        return self.run(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name in COMMANDS:
        return importlib.import_module(f"flash.{name}")
    raise AttributeError(f"module 'flash' has no attribute '{name}'")
