"""How much each weight of a model matters on data, by the first term of a Taylor series.

Leaving out a weight ``w`` changes the loss by about ``g w``, ``g`` its gradient; its importance is
``(g w)^2``, summed over batches (Molchanov et al., "Importance Estimation for Neural Network
Pruning", CVPR 2019, equation 8). The loss is the cross-entropy of the model's own first class, so
inputs need no labels; scores are divided by their deviation before, as sure models have no slope.
"""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from flash.backends.torch.graph import torch_graph
from flash.errors import UsageError

__all__ = ["taylor_importance"]

#: Inputs whose mean gradient is taken together.
_BATCH: Final = 16


def taylor_importance(model: bytes, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Importance of every element of the model's stored tensors, by their names.

    model:  an ONNX file of one input that gives scores of two classes or more.
    inputs: (n, ...) as the model is fed them.

    Raises ``UsageError`` for a model whose output is no list of scores, or without a gradient.
    """
    module = torch_graph(model)
    names = {
        name: parameter
        for name in (t.name for t in module.model.graph.initializer)
        if (key := module.key_of(name)) is not None
        and (parameter := dict(module.named_parameters()).get(key)) is not None
    }
    total = {name: np.zeros(tuple(p.shape)) for name, p in names.items()}
    for start in range(0, len(inputs), _BATCH):
        outputs = module(torch.from_numpy(inputs[start : start + _BATCH]))
        scores = outputs[0] if isinstance(outputs, tuple) else outputs
        if scores.dim() != 2 or scores.shape[1] < 2:
            raise UsageError("importance by data needs a model that scores classes, (n, classes)")
        module.zero_grad()
        wanted, deviation = scores.detach().argmax(1), scores.detach().std().clamp_min(1e-12)
        cast(Any, functional.cross_entropy(scores / deviation, wanted)).backward()
        for name, parameter in names.items():
            if parameter.grad is not None:
                change = (parameter.grad * parameter.detach()).double().numpy()
                total[name] += change**2
    found = {name: value for name, value in total.items() if value.any()}
    if not found or not all(np.isfinite(value).all() for value in found.values()):
        raise UsageError("importance by data: the model's gradients are zero, or no finite numbers")
    return found
