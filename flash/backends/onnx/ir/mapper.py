"""The layers of a ``Network``, recorded node by node.

The handler of an operator (``operators``) calls ``record`` for each layer that a node is. What
it may ask: shapes, constants, and which tensor a name stands for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Final

from numpy.typing import NDArray

from flash.backends.onnx.ir.graph import FLOATS, Graph, Node, Value
from flash.backends.onnx.ir.vocabulary import ACTIVATIONS
from flash.errors import InputError
from flash.spaces.layers import (
    INPUT,
    ZEROS,
    Layer,
    Tensor,
    in_elements,
    layer_macs,
    layer_params,
    out_elements,
    weight_elements,
)
from flash.spaces.network import Network

__all__ = ["Mapper", "map_sizes"]

#: Nothing that runs on a machine has more of anything.
_LARGEST: Final = 2**53
#: What a handler meets in a node that lacks something.
_MALFORMED: Final = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    StopIteration,
    TypeError,
    ValueError,
)
#: Share of a file's parameters, or of its results, from which on a format is that of its numbers.
_MOST: Final = 0.5
_WINDOWED: Final = ("conv", "max_pool", "avg_pool", "global_pool")


def map_sizes(shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height, width: the last two axes are the map, if there is one."""
    if len(shape) >= 4:
        return prod(shape[:-2]), shape[-2], shape[-1]
    return (prod(shape), 1, 1)


class Mapper:
    """Records layers; ``network()`` is the result.

    graph: after the passes of ``passes``.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._layers: list[Layer] = []
        self._names: Counter[str] = Counter()
        self._counted: set[str] = set()
        self._uses = graph.uses()
        first = _first_input(graph)
        channels, height, width = map_sizes(graph.shape(first))
        self._source = Tensor(channels, height, width, INPUT)
        self._values = {first: self._source}
        for name in graph.inputs:
            if name != first and self._uses[name] and name in graph.values:
                self._further_input(name)

    # ------------------------------------------------------------------------ from end to end
    def run(self, node: Node, handler: Callable[[Mapper, Node], None]) -> None:
        """Let a handler record what a node is; ``InputError`` for what has no cost."""
        for name in node.outputs:
            if self.used(name) and not self.is_constant(name) and name not in self.graph.values:
                raise self.refusal(node, _NO_SHAPE)
        before = len(self._layers)
        try:
            handler(self, node)
        except _MALFORMED:
            raise self.refusal(node, "malformed") from None
        for layer in self._layers[before:]:
            self._check_size(node, layer)

    def network(self) -> Network:
        """All that was recorded, as a network from the model's inputs to its outputs."""
        if all(layer.op == "input" for layer in self._layers):
            raise InputError(self._no_path())
        output = self._output()
        return Network(
            tuple(self._layers),
            self._source,
            output,
            notes=tuple(self._notes()),
            input_names=(*self.graph.inputs, *filter(self._is_made, self.graph.stated)),
        )

    def _is_made(self, name: str) -> bool:
        """Whether a tensor of that name is computed."""
        return name in self.graph.constants or name in self.graph.values

    def _notes(self) -> Iterator[str]:
        yield from self._stored_formats()
        for label, turns in self.graph.turned.items():
            yield (
                f"{label} turns {turns} times: what a turn computes is counted, not what a runtime "
                "takes to begin one"
            )
        if self.graph.in_blocks:
            yield (
                "onnxruntime wrote it with channels in blocks: those that fill the last block are "
                "counted"
            )
        if self.graph.bounded:
            yield (
                f"{self.graph.bounded[0]} makes as many results as the data say: the most "
                "possible are counted"
            )

    def _stored_formats(self) -> Iterator[str]:
        """What a file stores its numbers in, where that is not what the target uses."""
        weights, results = Counter[str](), Counter[str]()
        for layer in self._layers:
            weights[layer.format] += int(layer_params(layer))
            results[layer.out_format] += int(out_elements(layer))
        most = {f for of in (weights, results) for f in of if of[f] >= _MOST * of.total()}
        formats = {*weights, *results} - {""}
        if names := " and ".join(sorted(formats & most)):
            yield f"its numbers are stored in {names}, and memory is counted so"
        for name in sorted(formats - most):
            yield (
                f"a small part of its numbers is stored in {name} ({weights[name]:,} of "
                f"{weights.total():,} parameters), and memory is counted so"
            )

    def _further_input(self, name: str) -> None:
        channels, height, width = map_sizes(self.graph.shape(name))
        self._layers.append(
            Layer(
                op="input",
                name=self._unique(name),
                stage="",
                cell=-1,
                inputs=(self._source,),
                in_channels=0,
                out_channels=channels,
                in_height=1,
                in_width=1,
                out_height=height,
                out_width=width,
            )
        )
        self._values[name] = Tensor(channels, height, width, len(self._layers) - 1)

    def _output(self) -> Tensor:
        """The one output, or what joins several."""
        names = [name for name in dict.fromkeys(self.graph.outputs) if name in self._values]
        made = [name for name in names if int(self._values[name].producer) >= 0]
        if not made:
            raise InputError(self._no_path())
        if len(made) == 1:
            return self._values[made[0]]
        xs = tuple(self._values[name] for name in made)
        self._layers.append(
            Layer(
                op="output",
                name=self._unique("outputs"),
                stage="",
                cell=-1,
                inputs=xs,
                in_channels=0,
                out_channels=0,
                in_height=1,
                in_width=1,
                out_height=1,
                out_width=1,
                operands=len(xs),
                signal=any(x.signal for x in xs),
            )
        )
        return Tensor(0, 1, 1, len(self._layers) - 1)

    def _no_path(self) -> str:
        return f"{self.graph.path}: its output does not depend on its input by any layer"

    def _check_size(self, node: Node, layer: Layer) -> None:
        sizes = (layer_macs(layer), weight_elements(layer), in_elements(layer), out_elements(layer))
        if out_elements(layer) < 1 or max(sizes) > _LARGEST:
            raise self.refusal(node, "impossible size")

    def refusal(self, node: Node, why: str) -> InputError:
        """The error for a node that cannot be costed."""
        return self.graph.refusal(node, why)

    # ------------------------------------------------------------------- what handlers ask for
    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.graph.shape(name)

    def size(self, name: str) -> int:
        """Elements of a tensor."""
        return prod(self.graph.shape(name))

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is known before the network runs."""
        return name in self.graph.constants

    def known(self, node: Node, position: int) -> NDArray[Any] | None:
        """The value of an input that is a small constant."""
        return self.graph.known(node.input(position))

    def used(self, name: str) -> bool:
        """Whether anything reads a tensor."""
        return bool(name) and self._uses[name] > 0

    def tensor(self, name: str) -> Tensor:
        """The activation a name stands for."""
        if name in self.graph.constants:
            return Tensor(*map_sizes(self.shape(name)), ZEROS, present=False, signal=False)
        return self._values[name]

    def activations(self, node: Node) -> list[str]:
        """Names of the inputs that are computed as the network runs."""
        return [name for name in node.inputs if name and not self.is_constant(name)]

    @property
    def own(self) -> bool:
        """Whether flash wrote the file."""
        return self.graph.own

    @property
    def last_layer(self) -> Layer | None:
        """The layer recorded last."""
        return self._layers[-1] if self._layers else None

    @property
    def network_layers(self) -> Sequence[Layer]:
        """All layers recorded so far."""
        return self._layers

    @property
    def values(self) -> Mapping[str, Tensor]:
        """The activations by name."""
        return self._values

    # ---------------------------------------------------------------------- what handlers say
    def record(
        self,
        op: str,
        node: Node,
        inputs: Sequence[str],
        output: str = "",
        weights: Iterable[str] = (),
        **fields: Any,
    ) -> None:
        """Append a layer that makes ``output`` (the node's first); sizes default to its own.

        weights: names of the constants whose elements are parameters; those that an earlier
                 layer reads are counted there.
        """
        output = output or node.outputs[0]
        xs = tuple(self.tensor(name) for name in inputs)
        channels, height, width = map_sizes(self.shape(output))
        windowed = op in _WINDOWED
        sizes: dict[str, Any] = {
            "in_channels": int(xs[0].channels) if op == "conv" else channels,
            "out_channels": channels,
            "in_height": int(xs[0].height) if windowed else height,
            "in_width": int(xs[0].width) if windowed else width,
            "out_height": height,
            "out_width": width,
            "out_format": self._format(output),
        }
        names = [name for name in weights if name and self.is_constant(name)]
        sizes |= self._merged(node) | {"format": self._weight_format(names)}
        layer = Layer(
            op=op,
            name=self._name(node, output),
            stage="",
            cell=-1,
            inputs=xs,
            signal=any(x.signal for x in xs),
            **(sizes | fields),
        )
        params = self._count([*names, *self._merged_weights(node)])
        if params != layer_params(layer):
            layer = replace(layer, params=params)
        self._layers.append(layer)
        self._make(output)

    def also_makes(self, output: str) -> None:
        """The layer recorded last makes this tensor as well."""
        if output:
            self._make(output)

    def state_params(self, params: int) -> None:
        """Say how many parameters the layer recorded last has, where attributes hold them."""
        self._layers[-1] = replace(self._layers[-1], params=params)

    def extend(self, name: str, inputs: Sequence[str], output: str) -> None:
        """Make the last layer, a sum, one of more tensors (the writer's chain of binary sums)."""
        last = self._layers[-1]
        xs = (*last.inputs, *(self.tensor(x) for x in inputs))
        signal = any(x.signal for x in xs)
        self._layers[-1] = replace(last, name=name, inputs=xs, operands=len(xs), signal=signal)
        self._make(output)

    def view(self, node: Node, source: str = "", output: str = "") -> None:
        """The output is another view of the same numbers."""
        x, output = self.tensor(source or node.input(0)), output or node.outputs[0]
        channels, height, width = map_sizes(self.shape(output))
        self._values[output] = replace(x, channels=channels, height=height, width=width)

    def temporary(self, name: str, shape: tuple[int, ...], like: str) -> str:
        """A tensor inside a node that is several layers, of the element type of ``like``."""
        elem_type = self.graph.values[like].elem_type
        self.graph.values[name] = Value(shape, elem_type)
        return name

    # ------------------------------------------------------------------------------- details
    def _make(self, output: str) -> None:
        number = len(self._layers) - 1
        channels, height, width = map_sizes(self.shape(output))
        signal = bool(self._layers[number].signal)
        self._values[output] = Tensor(channels, height, width, number, signal=signal)

    def _name(self, node: Node, output: str) -> str:
        return self._unique(node.name or output)

    def _unique(self, base: str) -> str:
        self._names[base] += 1
        return base if self._names[base] == 1 else f"{base}#{self._names[base]}"

    def _format(self, name: str) -> str:
        """Number format that a tensor is stored in; empty for what the target uses."""
        stored = self.graph.formats.get(name)
        if stored is None:
            stored = FLOATS.get(self.graph.values[name].elem_type, "fp32")
        return "" if stored == "fp32" else stored

    def _weight_format(self, weights: Sequence[str]) -> str:
        for name in weights:
            for root in sorted(self.graph.constants[name].roots):
                stored = self.graph.roots[root][1]
                return "" if stored == "fp32" else stored
        return ""

    def _count(self, weights: Iterable[str]) -> int:
        """Parameters in these constants that no layer before reads.

        What is computed from no float that the file stores (a mask, a grid, the matrix of a Fourier
        transform) is no parameter.
        """
        roots = {root for name in weights for root in self.graph.constants[name].roots}
        new = roots - self._counted
        self._counted |= new
        return sum(self.graph.roots[name][0] for name in new)

    @staticmethod
    def _merged(node: Node) -> dict[str, Any]:
        """What the merged operations make of a layer."""
        ops = [m.op for m in node.merged]
        acts = [m for m in node.merged if m.op in ACTIVATIONS]
        fields: dict[str, Any] = {}
        if "BatchNormalization" in ops:
            fields["norm"] = True
        if "Add" in ops:
            fields["bias"] = True
        if acts:
            fields["act"] = acts[0].attributes.get("kind", ACTIVATIONS[acts[0].op])
        return fields

    def _merged_weights(self, node: Node) -> list[str]:
        found = []
        for m in node.merged:
            if m.op == "BatchNormalization":
                found += m.inputs[1:3]
            elif m.op in ("Add", "PRelu"):
                found += m.inputs
        return [name for name in found if name and self.is_constant(name)]


_NO_SHAPE: Final = (
    "the shape of its result cannot be inferred; simplify the model (e.g. with onnxsim) or export "
    "it with a fixed input shape"
)


def _first_input(graph: Graph) -> str:
    """The first input of floats that anything reads, else the first."""
    uses = graph.uses()
    inputs = [name for name in graph.inputs if name in graph.values]
    read = [name for name in inputs if uses[name]]
    floats = [name for name in read if graph.values[name].elem_type in FLOATS]
    return next(iter([*floats, *read, *inputs]))
