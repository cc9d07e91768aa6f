"""Operators that more than one part of the reader knows by name."""

from __future__ import annotations

from typing import Final

__all__ = ["ACTIVATIONS", "VIEWS"]

#: Activation operator -> what flash calls it.
ACTIVATIONS: Final = {
    "Celu": "celu",
    "Clip": "clip",
    "Elu": "elu",
    "Erf": "erf",
    "Exp": "exp",
    "Gelu": "gelu",
    "HardSigmoid": "hard_sigmoid",
    "HardSwish": "hard_swish",
    "LeakyRelu": "leaky_relu",
    "LogSoftmax": "log_softmax",
    "Mish": "mish",
    "PRelu": "prelu",
    "Relu": "relu",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Swish": "silu",
    "Tanh": "tanh",
    "ThresholdedRelu": "thresholded_relu",
    "com.microsoft.FastGelu": "gelu",
    "com.microsoft.Gelu": "gelu",
    "com.microsoft.QuickGelu": "silu",
    "flash.Silu": "silu",
}

#: Only another view of the same numbers.
VIEWS: Final = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
