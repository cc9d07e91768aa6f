"""A node of a graph, and its inputs as operators take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from flash.errors import InputError

__all__ = ["Function", "Given", "Step", "factors", "operands", "present"]

Given = Sequence["torch.Tensor | None"]
Function = Callable[["Step", Given, bool], Any]


@dataclass(frozen=True)
class Step:
    """A node: its operator, names, attributes, integers stored for it, and what computes it."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    constants: Mapping[int, NDArray[Any]]
    function: Function

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        return self.attributes.get(name, default)

    def integers(self, position: int, name: str = "") -> list[int] | None:
        """A list of integers given as an input or, in older models, as an attribute."""
        if position in self.constants:
            found: list[int] = self.constants[position].ravel().tolist()
            return found
        given = self.attributes.get(name)
        return None if given is None else list(given)

    def refused(self, why: str) -> InputError:
        """The error for what PyTorch cannot do the same way."""
        return InputError(f"{self.op} '{self.name}': {why} has no counterpart in PyTorch")


def present(given: Given) -> list[torch.Tensor]:
    """The inputs that are there."""
    return [x for x in given if x is not None]


def factors(given: Given) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Two tensors to multiply, and what is added where a third is given."""
    first, second, *rest = given
    if first is None or second is None:
        raise InputError("a product of integers has no counterpart in PyTorch")
    return first, second, rest[0] if rest else None


def operands(step: Step, given: Given) -> list[torch.Tensor]:
    """All inputs; stored integers as tensors."""
    return [
        torch.as_tensor(step.constants[k]) if x is None else x
        for k, x in enumerate(given)
        if x is not None or k in step.constants
    ]
