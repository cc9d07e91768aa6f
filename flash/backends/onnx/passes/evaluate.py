"""Find every shape, and fold what is known before the network runs.

Requires: inputs of definite sizes, no functions. Ensures: ``graph.values`` holds shape and type
of all that is computed; no node works on constants alone; no control flow (``unrolling``).

One pass in execution order. ONNX's own inference says the shape of each node's results, given
the shapes of what it reads and the values of small constants; what reads constants only is a
constant, with its value where that is small. Exporters write ``x.view(n, 2, c // 2, h, w)`` as
nodes that take x's shape apart and put another together: all of that vanishes here.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, defs, helper, numpy_helper, shape_inference

from flash.backends.onnx.ir.graph import (
    FORMATS,
    SMALL,
    Constant,
    Graph,
    Node,
    Value,
    add_constant,
    add_stored,
    one_line,
)
from flash.backends.onnx.operators import handler_of
from flash.backends.onnx.passes.arithmetic import evaluated
from flash.backends.onnx.passes.contributed import inferred as contributed_values
from flash.backends.onnx.passes.unrolling import Unrolling
from flash.errors import InputError

__all__ = ["MOST_ELEMENTS", "evaluate_constants"]

#: Elements of any tensor: beyond what a machine holds, and far below what int64 counts.
MOST_ELEMENTS: Final = 2**40
#: Elements of a constant that the model computes rather than stores.
_MOST_COMPUTED: Final = 2**31
#: What numbers with a fraction are stored in, a quantized bias among them.
_FORMATS: Final = (*FORMATS, TensorProto.INT32)
_ARITHMETIC: Final = ("Add", "Div", "Mul", "Sub")
_UNKNOWN: Final = (
    "the shape of its result cannot be inferred; simplify the model (e.g. with onnxsim) or "
    "export it with a fixed input shape"
)
#: Results differ from run to run, or depend on more than the inputs.
_NOT_CONSTANT: Final = (
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    "Dropout",
)
#: What onnx raises in a node that is wrong; it has no base class of its own.
_MALFORMED: Final = (
    shape_inference.InferenceError,
    defs.SchemaError,
    onnx.checker.ValidationError,
    RuntimeError,
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    ArithmeticError,
)


def evaluate_constants(graph: Graph) -> None:
    """Run the pass; raises ``InputError`` for shapes that cannot be known or do not fit."""
    queue, kept = deque(graph.nodes), list[Node]()
    unrolling = Unrolling(graph)
    made: set[str] = set()
    while queue:
        node = queue.popleft()
        opened = unrolling.opened(node)
        if opened is not None:
            queue.extendleft(reversed(opened))
            continue
        for name in node.inputs:
            if name and not _has_shape(graph, name) and name not in made:
                raise graph.refusal(node, f"nothing makes its input '{name}'")
        if not _fold(graph, node):
            _infer(graph, node)
            _state(graph, node)
            made.update(node.outputs)
            if not _empty(graph, node):
                kept.append(node)
    graph.nodes = kept
    graph.outputs = unrolling.final(graph.outputs)


# ------------------------------------------------------------------------------------ folding
def _fold(graph: Graph, node: Node) -> bool:
    """Make constants of a node's results, where they are known before the network runs."""
    if node.op == "Constant":
        return _stored(graph, node)
    if node.op in ("Shape", "Size"):
        shape = graph.shape(node.input(0)) if _has_shape(graph, node.input(0)) else None
        if shape is None:
            return False
        start, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
        sizes = np.array(shape[start:end], dtype=np.int64)
        sizes = sizes if node.op == "Shape" else np.array(sizes.prod(), dtype=np.int64)
        graph.constants[node.outputs[0]] = Constant(sizes.shape, TensorProto.INT64, sizes)
        return True
    given = [name for name in node.inputs if name]
    if node.op in _NOT_CONSTANT or not given:
        return False
    if not all(name in graph.constants for name in given):
        return False
    # A number by itself that goes into a computed constant (a half, a scale) is no parameter.
    kept = [graph.constants[name] for name in given]
    roots = frozenset().union(*(c.roots for c in kept if c.shape or len(kept) == 1))
    _infer(graph, node)
    values = [graph.values.pop(name, None) for name in node.outputs if name]
    for value in values:
        if value is not None and value.size > _MOST_COMPUTED:
            raise graph.refusal(
                node,
                f"computes a constant of {value.size:.3g} elements; the limit is "
                f"{_MOST_COMPUTED:.3g}",
            )
    inputs = [graph.known(name) if name else None for name in node.inputs]
    computed: list[NDArray[Any]] | None = None
    small = all(value is None or value.size <= SMALL for value in values)
    if small and all(v is not None or not n for v, n in zip(inputs, node.inputs, strict=True)):
        computed = evaluated(node, inputs)
    names = [name for name in node.outputs if name]
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        array = computed[k] if computed is not None and k < len(computed) else None
        if array is not None:
            elem_type = helper.np_dtype_to_tensor_dtype(array.dtype)
            graph.constants[name] = Constant(array.shape, elem_type, array, roots)
        elif value is not None:
            graph.constants[name] = Constant(value.shape, value.elem_type, None, roots)
        else:
            raise graph.refusal(node, _UNKNOWN)
    return True


def _state(graph: Graph, node: Node) -> None:
    """Make constants of results whose value the user gives; they are computed all the same."""
    for name in node.outputs:
        given, value = graph.stated.get(name), graph.values.get(name)
        if given is None or value is None:
            continue
        if len(given) != value.size:
            raise graph.refusal(node, f"--input {name} gives {len(given)} values of {value.size}")
        kind = helper.tensor_dtype_to_np_dtype(value.elem_type)
        array = np.array(given, dtype=kind).reshape(value.shape)
        graph.constants[name] = Constant(value.shape, value.elem_type, array)


def _empty(graph: Graph, node: Node) -> bool:
    """Make constants of the results without elements; whether all are, so that nothing is done."""
    names = [name for name in node.outputs if name]
    empty = [name for name in names if name in graph.values and not graph.values[name].size]
    for name in empty:
        value = graph.values.pop(name)
        kind = helper.tensor_dtype_to_np_dtype(value.elem_type)
        graph.constants[name] = Constant(
            value.shape, value.elem_type, np.zeros(value.shape, dtype=kind)
        )
    return len(empty) == len(names) > 0


def _stored(graph: Graph, node: Node) -> bool:
    """A ``Constant`` node: the same as an initializer."""
    name = node.outputs[0]
    for kind, given in node.attributes.items():
        if kind == "value":
            add_stored(graph, name, given)
        elif kind == "sparse_value":
            shape = tuple(given.dims)
            add_constant(graph, name, shape, given.values.data_type, None)
        elif kind.startswith("value_float"):
            array = np.array(given, dtype=np.float32)
            add_constant(graph, name, array.shape, TensorProto.FLOAT, array)
        elif kind.startswith("value_int"):
            array = np.array(given, dtype=np.int64)
            add_constant(graph, name, array.shape, TensorProto.INT64, array)
        elif kind.startswith("value_string"):
            shape = (len(given),) if kind.endswith("s") else ()
            add_constant(graph, name, shape, TensorProto.STRING, None)
        else:
            continue
        return True
    raise graph.refusal(node, "a constant without a value")


def _has_shape(graph: Graph, name: str) -> bool:
    return name in graph.constants or name in graph.values


# --------------------------------------------------------------------------------- inference
def _infer(graph: Graph, node: Node) -> None:
    """Enter the shapes and types of a node's results."""
    try:
        found = _values_of(graph, node)
    except InputError:
        raise
    except _MALFORMED as error:
        raise InputError(
            f"{graph.path}: its shapes do not fit together: {node.label}: "
            f"{one_line(str(error) or type(error).__name__)}"
        ) from None
    for name, value in found.items():
        if value.size > MOST_ELEMENTS:
            raise graph.refusal(
                node, f"makes {value.size:.3g} elements; the limit is {MOST_ELEMENTS:.3g}"
            )
        graph.values[name] = value


def _values_of(graph: Graph, node: Node) -> dict[str, Value]:
    if not all(_has_shape(graph, name) for name in node.inputs if name):
        return {}  # behind an operator whose results have no known shape
    domain, _, op = node.op.rpartition(".")
    names = [name for name in node.outputs if name]
    own = getattr(handler_of(node.op), "infer", None)
    special = own(graph, node) if own else contributed_values(graph, node)
    if special is not None:
        return dict(zip(names, special, strict=False))
    declared = {name: graph.declared[name] for name in names if name in graph.declared}
    if domain not in ("", "ai.onnx.ml"):
        return declared
    try:
        schema = defs.get_schema(op, graph.opsets.get(domain, 1), domain)
    except defs.SchemaError:
        return declared
    types, data = {}, {}
    for name in node.inputs:
        if not name or name in types:
            continue
        constant = graph.constants.get(name)
        if constant is None:
            value = graph.values[name]
            types[name] = helper.make_tensor_type_proto(value.elem_type, list(value.shape))
            continue
        types[name] = helper.make_tensor_type_proto(constant.elem_type, list(constant.shape))
        if constant.value is not None and constant.value.size:
            data[name] = numpy_helper.from_array(constant.value)
    if op in _ARITHMETIC and len({t.tensor_type.elem_type for t in types.values()}) > 1:
        # Where a quantized network adds integers, the one read from it may add floats.
        for t in types.values():
            t.tensor_type.elem_type = TensorProto.FLOAT
        data = {}
    proto = helper.make_node(op, node.inputs, node.outputs, domain=domain)
    proto.attribute.extend(
        helper.make_attribute(key, a) for key, a in node.attributes.items() if a != []
    )
    try:
        result = _inferred(graph, schema, proto, types, data)
    except _MALFORMED as error:
        if "type" not in str(error):
            raise
        # Tools that quantize or halve a model leave formats that do not match; sizes do.
        for name, t in types.items():
            if t.tensor_type.elem_type in _FORMATS:
                t.tensor_type.elem_type = TensorProto.FLOAT
                data.pop(name, None)
        result = _inferred(graph, schema, proto, types, data)
    found = {}
    for name in node.outputs:
        inferred = _value(result[name]) if name and name in result else None
        # Where a size depends on a value, the file itself may say what it is.
        inferred = declared.get(name) if inferred is None else inferred
        if inferred is not None:
            found[name] = inferred
    return found


def _inferred(
    graph: Graph,
    schema: defs.OpSchema,
    proto: onnx.NodeProto,
    types: dict[str, onnx.TypeProto],
    data: dict[str, onnx.TensorProto],
) -> dict[str, onnx.TypeProto]:
    """What ONNX's own rules say of a node's results, from its inputs' types and known values."""
    opsets = [helper.make_opsetid(d, v) for d, v in graph.opsets.items()]
    found: dict[str, onnx.TypeProto] = shape_inference.infer_node_outputs(
        schema, proto, types, data, opset_imports=opsets, ir_version=graph.ir_version
    )
    return found


def _value(proto: onnx.TypeProto) -> Value | None:
    """A definite shape, or None."""
    tensor = proto.tensor_type
    if not proto.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    dims = tensor.shape.dim
    if not all(d.HasField("dim_value") and d.dim_value >= 0 for d in dims):
        return None
    return Value(tuple(d.dim_value for d in dims), tensor.elem_type)
