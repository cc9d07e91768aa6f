"""Products and normalisations."""

from __future__ import annotations

from typing import Final

import torch
from torch.nn import functional

from flash.backends.torch.operators.step import Function, Given, Step, factors, operands, present

__all__ = ["PRODUCTS"]


def _gemm(step: Step, given: Given, training: bool) -> torch.Tensor:
    a, b, c = factors(given)
    a = a.transpose(0, 1) if step.attribute("transA", 0) else a
    b = b.transpose(0, 1) if step.attribute("transB", 0) else b
    result: torch.Tensor = (a @ b) * step.attribute("alpha", 1.0)
    return result if c is None else result + c * step.attribute("beta", 1.0)


def _matmul(step: Step, given: Given, training: bool) -> torch.Tensor:
    a, b = operands(step, given)
    return torch.matmul(a, b)


def _einsum(step: Step, given: Given, training: bool) -> torch.Tensor:
    return torch.einsum(step.attribute("equation").decode(), *present(given))


def _batch_norm(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, scale, shift, mean, variance = present(given)
    momentum = 1.0 - step.attribute("momentum", 0.9)
    epsilon = step.attribute("epsilon", 1e-5)
    return functional.batch_norm(x, mean, variance, scale, shift, training, momentum, epsilon)


def _layer_norm(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, scale, shift = factors(given)
    axis = step.attribute("axis", -1) % x.ndim
    epsilon = step.attribute("epsilon", 1e-5)
    result = functional.layer_norm(x, x.shape[axis:], None, None, epsilon) * scale
    return result if shift is None else result + shift


def _instance_norm(step: Step, given: Given, training: bool) -> torch.Tensor:
    x, scale, shift = present(given)
    return functional.instance_norm(
        x, None, None, scale, shift, True, 0.0, step.attribute("epsilon", 1e-5)
    )


def _lp(step: Step, given: Given, training: bool) -> torch.Tensor:
    (x,) = present(given)
    return functional.normalize(x, float(step.attribute("p", 2)), step.attribute("axis", -1))


PRODUCTS: Final[dict[str, Function]] = {
    "BatchNormalization": _batch_norm,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp,
    "MatMul": _matmul,
}
