"""A model made static: the sizes of all tensors known, arithmetic on shapes done once.

The model runs once in onnxruntime on noise, all tensors kept; what follows from shapes alone
becomes a stored tensor. Nodes get unique names, by which all later steps speak of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from flash.backends.onnx.constants import hoist_constants
from flash.backends.onnx.file import checked_graph, load_model
from flash.backends.onnx.passes.axes import bind_axes
from flash.backends.onnx.passes.functions import inline_functions
from flash.errors import InputError

__all__ = ["Frozen", "freeze", "freeze_at", "freeze_file"]

#: Operators that no variant can be made of, and why.
_REFUSED: Final = {
    "QuantizeLinear": "it is quantized: give the model in floating point",
    "DequantizeLinear": "it is quantized: give the model in floating point",
    "QLinearConv": "it is quantized: give the model in floating point",
    "If": "it has control flow",
    "Loop": "it has control flow",
    "Scan": "it has control flow",
}
_RESIZES: Final = ("Resize", "Upsample")
_INTEGERS: Final = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
#: Bytes of activations that one run may keep.
_MOST_BYTES: Final = 8 << 30


@dataclass(frozen=True)
class Frozen:
    """A static model.

    shapes: of every tensor, stored ones included.  stored: the values of stored tensors.
    unshared: parameters written more than once because tensors of one axis were shared.
    worth: of stored tensors, the importance of every element, where it was measured on data.
    """

    model: onnx.ModelProto
    shapes: Mapping[str, tuple[int, ...]]
    stored: Mapping[str, NDArray[Any]]
    unshared: int = 0
    worth: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def importance(self, name: str) -> NDArray[np.float64]:
        """Of every element of a stored tensor: as measured, else its square."""
        if name in self.worth:
            return self.worth[name]
        squares: NDArray[np.float64] = np.square(self.stored[name], dtype=np.float64)
        return squares

    @property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """In execution order."""
        found: Sequence[onnx.NodeProto] = self.model.graph.node
        return found

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Sizes of the inputs by name."""
        return {x.name: self.shapes[x.name] for x in self.model.graph.input}

    @property
    def outputs(self) -> list[str]:
        """Names of what the model returns."""
        return [x.name for x in self.model.graph.output]


def freeze_file(
    path: str | Path,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> Frozen:
    """The model of a file, weights beside it included; raises ``InputError``."""
    model = load_model(path, weights=True)
    if any(t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer):
        try:
            onnx.load_external_data_for_model(model, str(Path(path).resolve().parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{path}: its weights cannot be read: {reason}") from None
    return freeze(model, str(path), input_shape, inputs)


def freeze_at(model: onnx.ModelProto, shape: Sequence[int], path: str) -> Frozen:
    """A static model of one input, its only input of another shape; raises ``InputError``."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    (given,) = other.graph.input
    for dim, size in zip(given.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = int(size)
    del other.graph.value_info[:]
    for output in other.graph.output:
        output.type.tensor_type.ClearField("shape")
    return freeze(other, path)


def freeze(
    model: onnx.ModelProto,
    path: str = "model",
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> Frozen:
    """The model made static; ``path`` begins messages.

    Raises ``InputError`` for what is quantized, has control flow or does not run.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    graph = checked_graph(bare, path)
    for op, why in _REFUSED.items():
        if any(node.op == op for node in graph.nodes):
            raise InputError(f"{path}: {why}")
    bind_axes(graph, input_shape, inputs)
    own = onnx.ModelProto()
    own.CopyFrom(model)
    own = inline_functions(own, path)
    own.ir_version = max(own.ir_version, 4)
    stored = {t.name for t in own.graph.initializer}
    given = [x for x in own.graph.input if x.name not in stored]
    del own.graph.input[:]
    for x in given:
        value = graph.values[x.name]
        own.graph.input.append(helper.make_tensor_value_info(x.name, value.elem_type, value.shape))
    hoist_constants(own.graph)
    _read_through(own.graph)
    unshared = _unshare(own.graph)
    _name_nodes(own.graph)
    results = _run(own, path)
    _fold(own.graph, results)
    return Frozen(
        own,
        {name: value.shape for name, value in results.items()}
        | {t.name: tuple(t.dims) for t in own.graph.initializer},
        {t.name: numpy_helper.to_array(t) for t in own.graph.initializer},
        unshared,
    )


def _read_through(graph: onnx.GraphProto) -> None:
    """Read stored tensors themselves: exporters put an Identity before those that are equal."""
    source = {t.name: t.name for t in graph.initializer}
    returned = {x.name for x in graph.output}
    kept = []
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = source.get(name, name)
        if (
            node.op_type == "Identity"
            and node.input[0] in source
            and node.output[0] not in returned
        ):
            source[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _unshare(graph: onnx.GraphProto) -> int:
    """A copy for every reader of a float vector; the parameters that makes more.

    Exporters store equal tensors once (biases of zeros); layers that share one by chance need
    not have equal widths.
    """
    vectors = {
        t.name: t
        for t in graph.initializer
        if t.data_type not in _INTEGERS
        and len(t.dims) < 3
        and np.prod(t.dims) == max(t.dims, default=1) > 1
    }
    uses = Counter(name for node in graph.node for name in node.input if name in vectors)
    seen: Counter[str] = Counter()
    more = 0
    for node in graph.node:
        for position, name in enumerate(node.input):
            if uses[name] < 2:
                continue
            seen[name] += 1
            if seen[name] > 1:
                copy = TensorProto()
                copy.CopyFrom(vectors[name])
                copy.name = f"{name}~{seen[name]}"
                graph.initializer.append(copy)
                node.input[position] = copy.name
                more += int(np.prod(copy.dims))
    return more


def _name_nodes(graph: onnx.GraphProto) -> None:
    names: Counter[str] = Counter()
    for node in graph.node:
        base = node.name or next(filter(None, node.output), node.op_type)
        names[base] += 1
        node.name = base if names[base] == 1 else f"{base}~{names[base]}"


def _run(model: onnx.ModelProto, path: str) -> dict[str, NDArray[Any]]:
    """Every tensor of one run on noise; integers are zeros."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    known = {x.name for x in copy.graph.output}
    for node in copy.graph.node:
        for name in node.output:
            if name and name not in known:
                copy.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    rng = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for x in model.graph.input:
        shape = tuple(d.dim_value for d in x.type.tensor_type.shape.dim)
        kind = helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)
        noise = rng.standard_normal(shape) if np.issubdtype(kind, np.floating) else np.zeros(shape)
        feeds[x.name] = noise.astype(kind)
    try:
        session = onnxruntime.InferenceSession(
            copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [x.name for x in session.get_outputs()]
        found = dict(zip(names, session.run(names, feeds), strict=True))
    # onnxruntime's exceptions share no base class of its own.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: onnxruntime cannot run it: {reason}") from None
    results = {name: np.asarray(value) for name, value in found.items()}
    return feeds | results


def _fold(graph: onnx.GraphProto, results: Mapping[str, NDArray[Any]]) -> None:
    """Stored tensors in place of integers that follow from shapes alone; drop what made them."""
    static = {t.name for t in graph.initializer}
    for node in graph.node:
        known = node.op_type in ("Shape", "Size") or all(n in static for n in node.input if n)
        if known and node.op_type not in ("RandomNormal", "RandomUniform"):
            static.update(node.output)
    integers = {t.name for t in graph.initializer if t.data_type in _INTEGERS}
    # What only says how much larger a map becomes is no parameter either.
    scales = {x for n in graph.node if n.op_type in _RESIZES for x in n.input[1:] if x}
    scales -= {x for n in graph.node if n.op_type not in _RESIZES for x in n.input}
    returned = {x.name for x in graph.output}
    folded = {
        name
        for node in graph.node
        for name in node.output
        if name in static
        and name not in returned
        and (results[name].dtype.kind in "ib" or name in scales)
    }
    kept = [n for n in graph.node if not (n.output and set(n.output) <= folded)]
    kept = list(_needed(kept, returned))
    read = {name for node in kept for name in node.input}
    for name in sorted((folded & read) - integers):
        graph.initializer.append(numpy_helper.from_array(results[name], name))
    wanted = [t for t in graph.initializer if t.name in read]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.initializer[:]
    graph.initializer.extend(wanted)
    del graph.value_info[:]


def _needed(nodes: Sequence[onnx.NodeProto], returned: set[str]) -> Iterator[onnx.NodeProto]:
    """The nodes whose results reach an output."""
    wanted, kept = set(returned), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return reversed(kept)
