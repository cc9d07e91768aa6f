"""The walk over an ONNX graph that makes a network of it: tensors, constants, refusals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import onnx
from numpy.typing import NDArray

from flash.backends.onnx.file import Graph
from flash.backends.onnx.operators import FOLDABLE, map_sizes, node_attributes
from flash.errors import InputError
from flash.spaces.layers import (
    INPUT,
    ZEROS,
    Layer,
    Tensor,
    in_elements,
    layer_macs,
    out_elements,
    weight_elements,
)
from flash.spaces.network import Network

__all__ = ["GraphWalk"]

#: Nothing that runs on a machine has more of anything.
_LARGEST: Final = 2**53
#: What a handler meets in a node that lacks something.
_MALFORMED: Final = (
    ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError,
)  # fmt: skip


class GraphWalk(ABC):
    """Walks the nodes once; ``_values`` holds the tensor each name stands for.

    A subclass says what each operator is.
    """

    def __init__(self, graph: Graph, path: str) -> None:
        self._graph = graph
        self._path = path
        self._layers: list[Layer] = []
        self._names: Counter[str] = Counter()
        self._constants: dict[str, NDArray[Any] | None] = dict(graph.constants)
        self._uses = Counter(name for node in graph.nodes for name in node.input if name)
        self._uses[graph.output] += 1
        channels, height, width = map_sizes(graph.shapes[graph.source])
        self._source = Tensor(channels, height, width, INPUT)
        self._values = {graph.source: self._source}
        # Gate -> what it is a function of: sigmoid(x) -> x.
        self._gates: dict[str, str] = {}

    @abstractmethod
    def _handlers(self) -> dict[str, Callable[[onnx.NodeProto], None]]:
        """What to do with each operator that works on activations."""

    def network(self) -> Network:
        """The network the nodes make; ``InputError`` for what has no cost."""
        handlers = self._handlers()
        for node in self._graph.nodes:
            if node.op_type in ("Constant", "Shape", "Size") or self._is_known(node):
                self._know(node)
                continue
            if node.op_type not in handlers:
                raise self._refusal(node, "works on activations, which cannot be costed")
            try:
                handlers[node.op_type](node)
            except _MALFORMED:
                raise self._refusal(node, "malformed") from None
            self._check_size(node)
        if self._graph.output not in self._values or not self._layers:
            raise InputError(f"{self._path}: its output does not depend on its input by any layer")
        return Network(tuple(self._layers), self._source, self._values[self._graph.output])

    # ---------------------------------------------------------------------------- refusals
    def _check_size(self, node: onnx.NodeProto) -> None:
        if not self._layers:
            return
        last = self._layers[-1]
        sizes = (layer_macs(last), weight_elements(last), in_elements(last), out_elements(last))
        if out_elements(last) < 1 or max(sizes) > _LARGEST:
            raise self._refusal(node, "impossible size")

    def _refusal(self, node: onnx.NodeProto, why: str) -> InputError:
        return InputError(
            f"{self._path}: {node.op_type} (node '{node.name or node.output[0]}'): {why}"
        )

    # ---------------------------------------------------------------- known before it runs
    def _is_known(self, node: onnx.NodeProto) -> bool:
        return node.op_type in FOLDABLE and all(n in self._constants for n in node.input if n)

    def _know(self, node: onnx.NodeProto) -> None:
        value = node_attributes(node).get("value") if node.op_type == "Constant" else None
        array = None
        if isinstance(value, onnx.TensorProto) and not value.external_data:
            array = onnx.numpy_helper.to_array(value)
        for name in node.output:
            self._constants[name] = array

    def _known(self, node: onnx.NodeProto, position: int) -> NDArray[Any] | None:
        if position >= len(node.input):
            return None
        return self._constants.get(node.input[position])

    # ------------------------------------------------------------------------------ fusion
    def _absorber(
        self, name: str, node: onnx.NodeProto, ops: Sequence[str], part: str, uses: int = 1
    ) -> int | None:
        """The layer that makes ``name`` and can take ``node`` into itself."""
        number = int(self._tensor(name).producer)
        if number < 0 or self._uses[name] != uses:
            return None
        layer = self._layers[number]
        if layer.op not in ops or layer.act:
            return None
        if self._graph.own and node.name != f"{layer.name}.{part}":
            return None
        return number

    def _absorb(self, number: int, node: onnx.NodeProto, **changes: Any) -> None:
        self._layers[number] = replace(self._layers[number], **changes)
        self._values[node.output[0]] = self._shaped(node.output[0], number)

    # ------------------------------------------------------------------------------ tensors
    def _record(
        self, op: str, node: onnx.NodeProto, inputs: Sequence[str], output: str = "",
        **fields: Any,
    ) -> None:  # fmt: skip
        """Append a layer that makes ``output`` (the node's first); sizes default to its own."""
        output = output or node.output[0]
        xs = tuple(self._tensor(name) for name in inputs)
        channels, height, width = self._sizes(output)
        windowed = op in ("conv", "max_pool", "avg_pool", "global_pool")
        sizes = {
            "in_channels": int(xs[0].channels) if op == "conv" else channels,
            "out_channels": channels,
            "in_height": int(xs[0].height) if windowed else height,
            "in_width": int(xs[0].width) if windowed else width,
            "out_height": height,
            "out_width": width,
        }
        layer = Layer(
            op=op, name=self._name(node, output), stage="", cell=-1, inputs=xs,
            signal=any(x.signal for x in xs), **(sizes | fields),
        )  # fmt: skip
        self._layers.append(layer)
        self._values[output] = self._shaped(output, len(self._layers) - 1)

    def _name(self, node: onnx.NodeProto, output: str) -> str:
        base = node.name or output
        self._names[base] += 1
        return base if self._names[base] == 1 else f"{base}#{self._names[base]}"

    def _present(self, names: Sequence[str]) -> int:
        return sum(name not in self._constants for name in names)

    def _tensor(self, name: str) -> Tensor:
        if name in self._constants:
            channels, height, width = self._sizes(name)
            return Tensor(channels, height, width, ZEROS, present=False, signal=False)
        return self._values[name]

    def _shaped(self, name: str, producer: int) -> Tensor:
        channels, height, width = self._sizes(name)
        return Tensor(channels, height, width, producer, signal=bool(self._layers[producer].signal))

    def _sizes(self, name: str) -> tuple[int, int, int]:
        return map_sizes(self._graph.shapes[name])
