"""Operators that go element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch.nn import functional

from flash.backends.torch.operators.step import Function, Given, Step, operands, present

__all__ = ["ELEMENTS"]


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Function:
    def run(step: Step, given: Given, training: bool) -> torch.Tensor:
        return function(present(given)[0])

    return run


def _binary(function: Callable[..., torch.Tensor]) -> Function:
    def run(step: Step, given: Given, training: bool) -> torch.Tensor:
        first, *others = operands(step, given)
        for other in others:
            first = function(first, other)
        return first

    return run


def _clip(step: Step, given: Given, training: bool) -> torch.Tensor:
    low, high = (
        step.attribute(name) if len(given) <= k or given[k] is None else given[k]
        for k, name in ((1, "min"), (2, "max"))
    )
    return torch.clamp(present(given)[0], low, high)


def _hard_sigmoid(step: Step, given: Given, training: bool) -> torch.Tensor:
    alpha, beta = step.attribute("alpha", 0.2), step.attribute("beta", 0.5)
    return torch.clamp(alpha * present(given)[0] + beta, 0.0, 1.0)


def _gelu(step: Step, given: Given, training: bool) -> torch.Tensor:
    how = step.attribute("approximate", b"none").decode()
    return functional.gelu(present(given)[0], approximate=how)


def _prelu(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, slope = present(given)
    return torch.where(x < 0, slope * x, x)


def _softmax(function: Callable[..., torch.Tensor]) -> Function:
    def run(step: Step, given: Given, training: bool) -> torch.Tensor:
        return function(present(given)[0], step.attribute("axis", -1))

    return run


def _where(step: Step, given: Given, training: bool) -> torch.Tensor:
    condition, a, b = operands(step, given)
    return torch.where(condition.bool(), a, b)


def _cast(step: Step, given: Given, training: bool) -> torch.Tensor:
    x = operands(step, given)[0]
    kinds = {1: torch.float32, 10: torch.float32, 11: torch.float32, 6: torch.int32, 7: torch.int64}
    return x.to(kinds.get(step.attribute("to"), torch.bool))


ELEMENTS: Final[dict[str, Function]] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "Cast": _cast,
    "Clip": _clip,
    "Div": _binary(torch.div),
    "Elu": lambda step, given, _: functional.elu(present(given)[0], step.attribute("alpha", 1.0)),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(functional.hardswish),
    "Identity": _unary(lambda x: x),
    "LeakyRelu": lambda step, given, _: functional.leaky_relu(
        present(given)[0], step.attribute("alpha", 0.01)
    ),
    "Log": _unary(torch.log),
    "LogSoftmax": _softmax(torch.log_softmax),
    "Max": _binary(torch.maximum),
    "Min": _binary(torch.minimum),
    "Mish": _unary(functional.mish),
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "PRelu": _prelu,
    "Pow": _binary(torch.pow),
    "Reciprocal": _unary(torch.reciprocal),
    "Relu": _unary(torch.relu),
    "Selu": _unary(functional.selu),
    "Sigmoid": _unary(torch.sigmoid),
    "Softmax": _softmax(torch.softmax),
    "Softplus": _unary(functional.softplus),
    "Sqrt": _unary(torch.sqrt),
    "Sub": _binary(torch.sub),
    "Sum": _binary(torch.add),
    "Swish": _unary(functional.silu),
    "Tanh": _unary(torch.tanh),
    "Where": _where,
}
