"""An ONNX model of floats as a PyTorch module, node by node: to train it further or to run it.

Stored tensors of floats are parameters, the running statistics of batch norms buffers, by their
names in the model. The first axis of inputs may be any batch: stored sizes of reshapes leave it
open, and what is joined to a batch is repeated for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import nn

from flash.backends.onnx.constants import hoist_constants
from flash.backends.torch.operators import FUNCTIONS, Step
from flash.errors import InputError

__all__ = [
    "TorchGraph",
    "graph_weights",
    "match_statistics",
    "run_graph",
    "torch_graph",
    "with_weights",
]

#: Told the node's number, its step and its result; what it returns takes the result's place.
Watch = Callable[[int, Step, torch.Tensor], torch.Tensor]

_STATISTICS: Final = slice(3, 5)
_FLOATS: Final = ("f",)


class TorchGraph(nn.Module):
    """Runs the nodes of a model in order; inputs by position, outputs as in the model.

    One output is returned as a tensor, several as a tuple.
    """

    def __init__(self, model: onnx.ModelProto, path: str = "model") -> None:
        super().__init__()
        own = onnx.ModelProto()
        own.CopyFrom(model)
        hoist_constants(own.graph)
        model, graph = own, own.graph
        stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.model = model
        self.input_names = [x.name for x in graph.input if x.name not in stored]
        self.output_names = [x.name for x in graph.output]
        statistics = {
            name
            for node in graph.node
            if node.op_type == "BatchNormalization"
            for name in node.input[_STATISTICS]
        }
        read = {name for node in graph.node for name in node.input}
        self._keys: dict[str, str] = {}
        self._constants: dict[str, NDArray[Any]] = {}
        for number, (name, value) in enumerate(stored.items()):
            if name not in read:
                continue
            if value.dtype.kind not in _FLOATS or value.size < 1:
                self._constants[name] = value
                continue
            key = f"w{number}_" + "".join(c if c.isalnum() else "_" for c in name)
            self._keys[name] = key
            tensor = torch.from_numpy(np.array(value, dtype=np.float32))
            if name in statistics or value.size == 1:
                self.register_buffer(key, tensor)
            else:
                self.register_parameter(key, nn.Parameter(tensor))
        self._steps = [self._step(node, path) for node in graph.node]
        self._last = {name: k for k, step in enumerate(self._steps) for name in step.inputs}

    def _step(self, node: onnx.NodeProto, path: str) -> Step:
        function = FUNCTIONS.get(node.op_type)
        if function is None or node.domain not in ("", "ai.onnx"):
            raise InputError(
                f"{path}: {node.op_type} '{node.name}' has no counterpart in flash's PyTorch view"
            )
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        constants = {
            k: self._constants[name].copy()
            for k, name in enumerate(node.input)
            if name in self._constants
        }
        return Step(
            node.op_type,
            node.name,
            tuple(node.input),
            tuple(node.output),
            attributes,
            constants,
            function,
        )

    def tensor_of(self, name: str) -> torch.Tensor:
        """The parameter or buffer of a stored tensor."""
        found: torch.Tensor = getattr(self, self._keys[name])
        return found

    def key_of(self, name: str) -> str | None:
        """Name in ``state_dict`` of a stored tensor; None where it is no tensor of floats."""
        return self._keys.get(name)

    def forward(self, *inputs: torch.Tensor, watch: Watch | None = None) -> Any:
        """The model's output for a batch; ``watch`` sees, and may change, each node's result."""
        values: dict[str, torch.Tensor] = dict(zip(self.input_names, inputs, strict=True))
        for number, step in enumerate(self._steps):
            given = [
                values[x] if x in values else self.tensor_of(x) if x in self._keys else None
                for x in step.inputs
            ]
            try:
                results = step.function(step, given, self.training)
            # What PyTorch cannot do as ONNX does it fails in ways of its own.
            except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split())[:160]
                raise InputError(f"{step.op} '{step.name}' in PyTorch: {reason}") from None
            found: Sequence[torch.Tensor] = results if isinstance(results, tuple) else (results,)
            if watch is not None:
                found = (watch(number, step, found[0]), *found[1:])
            values.update(zip(step.outputs, found, strict=False))
            for name in step.inputs:
                if self._last[name] == number and name not in self.output_names:
                    values.pop(name, None)
        outputs = tuple(values[name] for name in self.output_names)
        return outputs[0] if len(outputs) == 1 else outputs


def torch_graph(model: onnx.ModelProto | bytes, path: str = "model") -> TorchGraph:
    """The model as a module in evaluation mode; ``InputError`` for operators it does not know."""
    proto = onnx.load_model_from_string(model) if isinstance(model, bytes) else model
    return TorchGraph(proto, path).eval()


def graph_weights(module: TorchGraph) -> dict[str, NDArray[Any]]:
    """Parameters and statistics by the names of the model's stored tensors."""
    return {name: module.tensor_of(name).detach().cpu().numpy().copy() for name in module._keys}


def with_weights(model: onnx.ModelProto, weights: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """The model with these numbers in place of its stored tensors of those names."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in weights:
            kind = numpy_helper.to_array(tensor).dtype
            shape = tuple(tensor.dims)
            value = np.ascontiguousarray(weights[tensor.name], dtype=kind).reshape(shape)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return copy


def run_graph(module: TorchGraph, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Outputs by name, as PyTorch computes them."""
    with torch.no_grad():
        found = module(*(torch.from_numpy(inputs[name]) for name in module.input_names))
    results = found if isinstance(found, tuple) else (found,)
    return {n: x.numpy() for n, x in zip(module.output_names, results, strict=True)}


def match_statistics(
    variant: TorchGraph,
    original: TorchGraph,
    inputs: NDArray[np.float32],
    kept: Mapping[str, NDArray[np.bool_]],
    smaller: NDArray[np.float32] | None = None,
) -> int:
    """Scale and shift the channels of ``variant`` so that they vary as in ``original``.

    For every convolution and fully connected layer with a bias that follows no batch norm, mean
    and deviation of each channel over ``inputs`` become what they are in the original; batch norms
    get the statistics of the inputs. kept: result of a node -> which of its channels the variant
    has. smaller: the inputs as the variant reads them, where that is not as the original does.
    Returns how many layers were changed.
    """
    wanted: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    batch = torch.from_numpy(inputs)

    def look(number: int, step: Step, result: torch.Tensor) -> torch.Tensor:
        if step.op in _MATCHED and step.outputs[0] in kept:
            own = torch.from_numpy(kept[step.outputs[0]])
            mean, deviation = _moments(step, result)
            wanted[step.outputs[0]] = mean[own], deviation[own]
        return result

    with torch.no_grad():
        original(batch, watch=look)
    changed = 0

    def match(number: int, step: Step, result: torch.Tensor) -> torch.Tensor:
        nonlocal changed
        if step.op not in _MATCHED or step.outputs[0] not in wanted or len(step.inputs) < 3:
            return result
        mean, deviation = wanted[step.outputs[0]]
        own_mean, own_deviation = _moments(step, result)
        if own_mean.shape != mean.shape or not step.inputs[2]:
            return result
        scale = torch.where(own_deviation > _LEAST, deviation / own_deviation.clamp_min(_LEAST), 1)
        scale = scale.clamp(1 / _MOST_SCALE, _MOST_SCALE)
        weight, bias = variant.tensor_of(step.inputs[1]), variant.tensor_of(step.inputs[2])
        if bias.shape != mean.shape:
            return result
        shift = mean - scale * own_mean
        rows = 1 if step.op == "Gemm" and not step.attributes.get("transB", 0) else 0
        shape = [1] * weight.ndim
        shape[rows] = -1
        weight.mul_(scale.reshape(shape))
        bias.mul_(scale).add_(shift)
        changed += 1
        shape = [1] * result.ndim
        shape[1 if step.op == "Conv" else -1] = -1
        return result * scale.reshape(shape) + shift.reshape(shape)

    with torch.no_grad():
        variant(batch if smaller is None else torch.from_numpy(smaller), watch=match)
    return changed


_MATCHED: Final = ("Conv", "Gemm")
#: Deviations below are of channels that do not vary.
_LEAST: Final = 1e-6
#: No channel is scaled by more.
_MOST_SCALE: Final = 4.0


def _moments(step: Step, result: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    axis = 1 if step.op == "Conv" else result.ndim - 1
    over = [k for k in range(result.ndim) if k != axis]
    return result.mean(over), result.std(over, correction=0)
