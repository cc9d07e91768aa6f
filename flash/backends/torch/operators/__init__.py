"""ONNX operators as PyTorch computes them: what ``flash.backends.torch.graph`` runs."""

from __future__ import annotations

from typing import Final

from flash.backends.torch.operators.elements import ELEMENTS
from flash.backends.torch.operators.moving import MOVING
from flash.backends.torch.operators.products import PRODUCTS
from flash.backends.torch.operators.step import Function, Step
from flash.backends.torch.operators.windows import WINDOWS

__all__ = ["FUNCTIONS", "Step"]

#: Every operator that PyTorch computes the same way, by its name in ONNX.
FUNCTIONS: Final[dict[str, Function]] = {**WINDOWS, **PRODUCTS, **ELEMENTS, **MOVING}
