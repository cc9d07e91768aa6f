"""An ONNX model in memory, in the form that passes rewrite.

Only what costs are made of is kept: nodes, shapes and types, and the values of small constants.
A large weight is its shape; weights stored outside the file are never opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from flash.errors import InputError

__all__ = [
    "FLOATS",
    "FORMATS",
    "SMALL",
    "Constant",
    "Graph",
    "Node",
    "Value",
    "graph_of",
    "node_of",
    "one_line",
]

#: Values of constants up to this many elements are kept: they can be shapes, axes or limits.
SMALL: Final = 4096
#: Element types of ONNX that are numbers with a fraction, as flash names them.
FLOATS: Final[Mapping[int, str]] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.DOUBLE: "fp64",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.FLOAT8E4M3FN: "fp8",
    TensorProto.FLOAT8E4M3FNUZ: "fp8",
    TensorProto.FLOAT8E5M2: "fp8",
    TensorProto.FLOAT8E5M2FNUZ: "fp8",
}
#: The same with the integers that quantized tensors are stored in.
FORMATS: Final[Mapping[int, str]] = {
    **FLOATS,
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
    TensorProto.INT4: "int4",
    TensorProto.UINT4: "int4",
}


@dataclass(frozen=True, slots=True)
class Value:
    """Shape and element type (``onnx.TensorProto``'s number) of a tensor.

    number_format: what a quantized tensor is stored in, where that is not the element type.
    """

    shape: tuple[int, ...]
    elem_type: int
    number_format: str = ""

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def format(self) -> str:
        """Number format, one of ``FORMATS``; ``fp32`` for other integers."""
        return self.number_format or FORMATS.get(self.elem_type, "fp32")


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor known before the network runs.

    value: None where it is too large to matter, or outside the file.
    roots: the stored tensors of floats it is made of: who reads it reads their parameters.
    """

    shape: tuple[int, ...]
    elem_type: int
    value: NDArray[Any] | None = None
    roots: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Node:
    """One operation.

    op:     the operator, with its domain in front unless that is ONNX's own.
    merged: operations that a runtime does in the same kernel, in their order.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.op} (node '{self.name or next(filter(None, self.outputs), '')}')"

    def input(self, position: int) -> str:
        """Name of an input; empty where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""


@dataclass(slots=True)
class Graph:
    """What is known of a model; passes change it in place.

    path:      begins messages.
    inputs:    name -> shape with None for an axis that is not known, and element type.
    constants: tensors known before the network runs; ``roots``: elements and number format of
               the stored ones that hold floats.
    values:    shape and type of everything that is computed, once a pass has found them.
    formats:   number format that a tensor is stored in, where that is not its element type's.
    declared:  what the file itself says of tensors, where it says all.
    bounded:   operations whose result has a size that depends on the data: the largest counts.
    turned:    loops that were unrolled, with their turns.
    stated:    values that the user gives of tensors which are computed, by name.
    in_blocks: the file holds channels in blocks that onnxruntime filled up.
    own:       flash wrote the file, so that its node names tell the layers.
    renamed:   tensors that passes made others read in their place (``final_name``).
    """

    path: str
    nodes: list[Node]
    inputs: dict[str, tuple[tuple[int | None, ...], int]]
    axis_names: dict[str, tuple[str, ...]]
    outputs: list[str]
    constants: dict[str, Constant]
    roots: dict[str, tuple[int, str]]
    opsets: dict[str, int]
    ir_version: int = 8
    values: dict[str, Value] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    declared: dict[str, Value] = field(default_factory=dict)
    bounded: list[str] = field(default_factory=list)
    turned: dict[str, int] = field(default_factory=dict)
    stated: dict[str, tuple[float, ...]] = field(default_factory=dict)
    in_blocks: bool = False
    own: bool = False
    renamed: dict[str, str] = field(default_factory=dict)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        constant = self.constants.get(name)
        return self.values[name].shape if constant is None else constant.shape

    def number(self, name: str) -> float | None:
        """The value of a constant of one element, or None."""
        value = self.known(name)
        return float(value.item()) if value is not None and value.size == 1 else None

    def known(self, name: str) -> NDArray[Any] | None:
        """The value of a constant, if it is one and small."""
        constant = self.constants.get(name)
        return None if constant is None else constant.value

    def uses(self) -> Counter[str]:
        """How often each tensor is read, by nodes or as an output."""
        found = Counter(name for node in self.nodes for name in node.inputs if name)
        found.update(self.outputs)
        return found

    def makers(self) -> dict[str, Node]:
        """The node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def replace(self, renamed: Mapping[str, str], dropped: Iterable[Node] = ()) -> None:
        """Read other tensors in place of some (chains are followed), without some nodes."""
        gone = {id(node) for node in dropped}
        self.renamed.update(renamed)

        def final(name: str) -> str:
            while name in renamed:
                name = renamed[name]
            return name

        for old in renamed:
            if old in self.formats:
                self.formats.setdefault(final(old), self.formats[old])
        self.nodes = [node for node in self.nodes if id(node) not in gone]
        for node in self.nodes:
            node.inputs = [final(name) for name in node.inputs]
        self.outputs = [final(name) for name in self.outputs]

    def final_name(self, name: str) -> str:
        """The tensor that is read in place of one of the model's."""
        for _ in range(len(self.renamed)):
            if name not in self.renamed:
                break
            name = self.renamed[name]
        return name

    def refusal(self, node: Node, why: str) -> InputError:
        """The error for an operation that cannot be used."""
        return InputError(f"{self.path}: {node.label}: {why}")


def one_line(text: object) -> str:
    """One line of at most 200 characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= 200 else line[:197] + "..."


def graph_of(model: onnx.ModelProto, path: str, own: bool) -> Graph:
    """The graph of a model that ``onnx.checker`` accepts."""
    proto = model.graph
    graph = Graph(
        path=path,
        nodes=[],
        inputs={},
        axis_names={},
        outputs=[x.name for x in proto.output],
        constants={},
        roots={},
        own=own,
        opsets={"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import},
        ir_version=model.ir_version,
    )
    add_constants(graph, proto.initializer)
    for sparse in proto.sparse_initializer:
        add_constant(graph, sparse.values.name, tuple(sparse.dims), sparse.values.data_type, None)
    for given in proto.input:
        if given.name in graph.constants:
            continue
        tensor = given.type.tensor_type
        if not given.type.HasField("tensor_type") or not tensor.HasField("shape"):
            kind = given.type.WhichOneof("value") or "no type"
            what = "without a shape" if kind == "tensor_type" else f"({kind})"
            raise InputError(f"{path}: input '{given.name}' {what}: only tensors can be priced")
        dims = tensor.shape.dim
        graph.inputs[given.name] = (
            tuple(d.dim_value if d.dim_value > 0 else None for d in dims),
            tensor.elem_type,
        )
        graph.axis_names[given.name] = tuple(d.dim_param for d in dims)
    for stated in (*proto.value_info, *proto.output):
        tensor = stated.type.tensor_type
        sizes = tuple(d.dim_value for d in tensor.shape.dim)
        if tensor.HasField("shape") and all(size > 0 for size in sizes):
            graph.declared[stated.name] = Value(sizes, tensor.elem_type)
    graph.nodes = [node_of(node) for node in proto.node]
    _hoist_constants(graph)
    return graph


def _hoist_constants(graph: Graph) -> None:
    """Make stored tensors of ``Constant`` nodes, which say the same."""
    kept = []
    for node in graph.nodes:
        tensor = node.attributes.get("value")
        if node.op == "Constant" and isinstance(tensor, TensorProto) and node.outputs:
            tensor.name = node.outputs[0]
            add_constants(graph, [tensor])
        else:
            kept.append(node)
    graph.nodes = kept


def node_of(proto: onnx.NodeProto) -> Node:
    """A node as passes see it."""
    domain = "" if proto.domain in ("", "ai.onnx") else f"{proto.domain}."
    return Node(
        f"{domain}{proto.op_type}",
        proto.name,
        list(proto.input),
        list(proto.output),
        {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute},
    )


def add_constants(graph: Graph, tensors: Sequence[onnx.TensorProto]) -> None:
    """Add stored tensors to a graph's constants."""
    for tensor in tensors:
        add_stored(graph, tensor.name, tensor)


def add_stored(graph: Graph, name: str, tensor: onnx.TensorProto) -> None:
    """Add a stored tensor to a graph's constants under a name."""
    outside = tensor.data_location == TensorProto.EXTERNAL
    small = not outside and prod(tensor.dims) <= SMALL
    value = numpy_helper.to_array(tensor) if small else None
    add_constant(graph, name, tuple(tensor.dims), tensor.data_type, value)


def add_constant(
    graph: Graph, name: str, shape: tuple[int, ...], elem_type: int, value: NDArray[Any] | None
) -> None:
    """Add one stored tensor."""
    roots: frozenset[str] = frozenset()
    if elem_type in FORMATS:
        roots = frozenset([name])
        graph.roots[name] = prod(shape), FORMATS[elem_type]
    if value is not None:
        value = np.asarray(value)
    graph.constants[name] = Constant(shape, elem_type, value, roots)
