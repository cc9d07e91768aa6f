"""Binary convolutions: signs of the inputs, and signs of the weights times their mean magnitude.

As in XNOR-Net (Rastegari et al., ECCV 2016): a filter W of n weights becomes ``a sign(W)`` with
``a = mean |W|``. Backward the sign passes the gradient where ``|x| <= 1`` and stops it elsewhere
(straight-through: Hubara et al., NeurIPS 2016), so with g the gradient by the binary filter

    dL/dW_i = a g_i [|W_i| <= 1] + sign(W_i) / n * sum_j g_j sign(W_j).

The sign of 0 is 0: a convolution that follows a ReLU sees zeros and ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["binarised", "binary_convolution"]


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = ctx.saved_tensors[0]
        return gradients[0] * (x.abs() <= 1)


def _sign(x: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = _Sign.apply(x)  # type: ignore[no-untyped-call]
    return found


def binarised(weight: torch.Tensor) -> torch.Tensor:
    """Filters of shape (out, in, height, width), each its signs times its mean magnitude."""
    return _sign(weight) * weight.abs().mean((1, 2, 3), keepdim=True)


def binary_convolution(part: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """What the convolution makes of the signs of ``x`` with binary filters."""
    return functional.conv2d(
        _sign(x), binarised(part.weight), part.bias, part.stride, part.padding, part.dilation,
        part.groups,
    )  # fmt: skip
