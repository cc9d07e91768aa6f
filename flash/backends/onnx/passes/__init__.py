"""From a model as it was exported to a graph whose every node is one operation of known shape.

Each pass does one thing and says at the top of its file what it requires and what it ensures.
``run_passes`` applies them in the one order in which every pass finds what it requires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from flash.backends.onnx.ir.graph import Graph
from flash.backends.onnx.passes.activations import fuse_activations
from flash.backends.onnx.passes.axes import bind_axes
from flash.backends.onnx.passes.clean import clean
from flash.backends.onnx.passes.dequantise import dequantise
from flash.backends.onnx.passes.evaluate import evaluate_constants
from flash.backends.onnx.passes.kernels import name_merged
from flash.backends.onnx.passes.merge import merge_followers
from flash.backends.onnx.passes.normalisation import fuse_normalisation
from flash.errors import FlashError, InputError

__all__ = ["PASSES", "run_passes"]

#: Passes that need nothing but the graph, in their order.
PASSES: Final[tuple[Callable[[Graph], None], ...]] = (
    name_merged,
    dequantise,
    evaluate_constants,
    clean,
    fuse_normalisation,
    fuse_activations,
    merge_followers,
)
#: What a pass meets in a node that lacks an input, an output or an attribute.
_MALFORMED: Final = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)


def run_passes(
    graph: Graph,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Bind the axes of the inputs (see ``bind_axes``) and run all passes, in place.

    Raises ``InputError`` (``UsageError`` for sizes that contradict the model).
    """
    bind_axes(graph, input_shape, inputs)
    for apply in PASSES:
        try:
            apply(graph)
        except FlashError:
            raise
        except _MALFORMED as error:
            raise InputError(
                f"{graph.path}: not a valid ONNX model: malformed nodes "
                f"({apply.__name__}: {type(error).__name__})"
            ) from None
