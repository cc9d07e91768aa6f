"""flash: hardware-aware co-design of neural networks.

Every verb is a package with a command and a function of the same name:
``python -m flash.search --target rpi3b`` does from a shell what
``from flash.search import search; search(target="rpi3b")`` does from Python.
"""

from __future__ import annotations

__all__ = ["COMMANDS", "__version__"]

__version__ = "0.2.0"

#: Commands and what they do, in the order people meet them.
COMMANDS = {
    "search": "space + target -> certified Pareto designs",
    "estimate": "designs of a space, or ONNX files -> metrics and costs on a target",
    "check": "ONNX files + limits -> a verdict each, for continuous integration",
    "shrink": "a model of yours -> its smaller variants for a target, with the weights inherited",
    "train": "a model, or a design, trained on your data, with its preprocessing",
    "calibrate": "train a few sampled designs -> the space's accuracy model",
    "export": "designs of a front -> checked ONNX files and a manifest",
    "profile": "networks run on this device, or one over ssh -> measurements",
    "fit": "measurements of a device -> its profile, with held-out error",
    "list": "names: targets, spaces, metrics, proxies, strategies, optimizers, formats",
    "compare": "two searches, or two models, side by side",
    "doctor": "versions, extras, devices, sensors, and what mends what is missing",
}
