"""A network as a PyTorch module: the same layers, names and numbers as its ONNX file.

The module's parts carry the layers' names with dots as underscores (PyTorch reserves the dot):
``body1_conv3`` is the convolution, ``body1_conv3_norm`` its batch norm. ``module_weights`` and
``load_weights`` translate to the names of ``flash.backends.weights``, so weights trained here
go into an ONNX file as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from flash.backends.weights import BATCH_NORM_EPSILON, Weights, random_weights
from flash.backends.windows import check_window
from flash.errors import InputError
from flash.spaces.layers import INPUT, ZEROS, Layer, Tensor
from flash.spaces.network import Network

__all__ = ["Observer", "TorchNetwork", "load_weights", "module_weights", "torch_network"]

_Activation = Callable[[torch.Tensor], torch.Tensor]
#: Told each layer's number and result (activation included) as the module runs.
Observer = Callable[[int, torch.Tensor], None]

_ACTIVATIONS: Final[dict[str, _Activation]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
    # PyTorch's hard sigmoid is relu6(x + 3) / 6, as MobileNet v3 has it and the ONNX file says.
    "hard_sigmoid": functional.hardsigmoid,
    "hard_swish": functional.hardswish,
    "tanh": torch.tanh,
}

#: Part of a module -> name after the layer's in ``flash.backends.weights``.
_NORM_PARTS: Final = {
    "weight": "scale",
    "bias": "shift",
    "running_mean": "mean",
    "running_var": "variance",
}


def torch_network(network: Network, weights: Weights | None = None, seed: int = 0) -> TorchNetwork:
    """The network as a module, with these weights or random ones (``random_weights``).

    Raises ``InputError`` for a weight that is missing or misshapen, and for a layer that
    symmetric windows or the known activations cannot express.
    """
    module = TorchNetwork(network)
    load_weights(module, random_weights(network, seed) if weights is None else weights)
    return module


class TorchNetwork(nn.Module):
    """Runs the layers in order; input (batch, channels, height, width), output of the last one.

    Batch norms use batch statistics in training mode, as every PyTorch module does. Results
    are let go of after their last reader.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self._steps = [self._step(layer) for layer in network.layers]
        self._last_use = _last_use(network)

    def forward(
        self, image: torch.Tensor, observe: Observer | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Output (batch, classes) of a classifier; (batch, channels, height, width) of others.

        Several outputs are a tuple.
        """
        results: dict[int, torch.Tensor] = {INPUT: image}
        for number, (layer, step) in enumerate(zip(self.network.layers, self._steps, strict=True)):
            values = [_value(x, results, image) for x in layer.inputs if _read(layer, x)]
            results[number] = step(values)
            if observe is not None and layer.op != "output":
                observe(number, results[number])
            for producer in self._last_use[number]:
                del results[producer]
        return _value(self.network.output, results, image)

    # ------------------------------------------------------------------------------ layers
    def _step(self, layer: Layer) -> Callable[[list[torch.Tensor]], torch.Tensor]:
        """What turns the layer's inputs into its result, activation included."""
        check_window(layer)
        operation = self._operation(layer)
        norm = None
        if layer.norm:
            suffix = "" if layer.op == "norm" else ".norm"
            norm = self._part(
                f"{layer.name}{suffix}",
                lambda: nn.BatchNorm2d(int(layer.out_channels), eps=BATCH_NORM_EPSILON),
            )
        act = _activation(layer)

        def step(values: list[torch.Tensor]) -> torch.Tensor:
            result = operation(values)
            if norm is not None:
                result = norm(result)
            return result if act is None else act(result)

        return step

    def _operation(self, layer: Layer) -> Callable[[list[torch.Tensor]], torch.Tensor]:
        window = (int(layer.kernel_height), int(layer.kernel_width))
        pad = (int(layer.pad_height), int(layer.pad_width))
        stride, channels = int(layer.stride), int(layer.out_channels)
        added = channels - int(layer.in_channels)
        x = layer.inputs[0]
        sizes = (int(x.channels), int(x.height), int(x.width))

        def as_map(value: torch.Tensor) -> torch.Tensor:
            return value if value.dim() == 4 else value.reshape(-1, *sizes)

        match layer.op:
            case "conv":
                convolve = self._part(layer.name, lambda: _convolution(layer))
                return lambda v: convolve(as_map(v[0]))
            case "linear":
                dense = self._part(
                    layer.name,
                    lambda: nn.Linear(int(layer.in_channels), channels, bias=layer.bias),
                )
                return lambda v: dense(v[0].flatten(1))
            case "max_pool":
                return lambda v: functional.max_pool2d(as_map(v[0]), window, stride, pad)
            case "avg_pool":
                return lambda v: functional.avg_pool2d(
                    as_map(v[0]), window, stride, pad, count_include_pad=False
                )
            case "global_pool":
                return lambda v: as_map(v[0]).mean((2, 3), keepdim=True)
            case "slice":
                return lambda v: as_map(v[0])[:, :channels]
            case "pad":
                return lambda v: functional.pad(as_map(v[0]), (0, 0, 0, 0, 0, added))
            case "add":
                return _sum
            case "mul":
                return lambda v: v[0] * v[1]
            case "concat":
                return lambda v: torch.cat(v, 1)
            case "resize":
                factor = int(layer.out_height) // int(layer.in_height)
                return lambda v: functional.interpolate(as_map(v[0]), scale_factor=factor)
            case "conv_transpose":
                side = int(layer.kernel_height)
                raised = self._part(
                    layer.name,
                    lambda: nn.ConvTranspose2d(int(layer.in_channels), channels, side, side),
                )
                return lambda v: raised(as_map(v[0]))
            case "output":
                return lambda v: tuple(v)  # type: ignore[return-value] # the last layer
            case "norm" | "act":
                return lambda v: v[0] if layer.op == "act" else as_map(v[0])
        raise InputError(f"layer {layer.name}: '{layer.op}' cannot be written as PyTorch")

    def _part(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        """The part with this layer's (or its batch norm's) weights."""
        part = make()
        self.add_module(name.replace(".", "_"), part)
        return part


def _convolution(layer: Layer) -> nn.Conv2d:
    return nn.Conv2d(
        int(layer.in_channels),
        int(layer.out_channels),
        (int(layer.kernel_height), int(layer.kernel_width)),
        int(layer.stride),
        (int(layer.pad_height), int(layer.pad_width)),
        int(layer.dilation),
        groups=int(layer.groups),
        bias=layer.bias,
    )


def _sum(values: list[torch.Tensor]) -> torch.Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _activation(layer: Layer) -> _Activation | None:
    if layer.act and layer.act not in _ACTIVATIONS:
        raise InputError(f"layer {layer.name}: activation '{layer.act}' cannot be written")
    return _ACTIVATIONS[layer.act] if layer.act else None


def _read(layer: Layer, x: Tensor) -> bool:
    """Sums and concats leave out what is not present; all else reads zeros in its place."""
    return bool(x.present) or layer.op not in ("add", "concat")


def _value(x: Tensor, results: dict[int, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    if int(x.producer) == ZEROS:
        return image.new_zeros(image.shape[0], int(x.channels), int(x.height), int(x.width))
    return results[int(x.producer)]


def _last_use(network: Network) -> list[list[int]]:
    """For each layer, the producers whose result nothing reads after it."""
    last = {number: number for number in range(len(network.layers))}
    for number, layer in enumerate(network.layers):
        last.update({int(x.producer): number for x in layer.inputs if _read(layer, x)})
    last.pop(int(network.output.producer), None)
    ending: list[list[int]] = [[] for _ in network.layers]
    for producer, number in last.items():
        if producer >= 0:
            ending[number].append(producer)
    return ending


# ------------------------------------------------------------------------------------ weights
def module_weights(module: TorchNetwork) -> dict[str, NDArray[np.float32]]:
    """The module's weights under the names of ``flash.backends.weights``, float32."""
    return {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in _named(module)}


def load_weights(module: TorchNetwork, weights: Weights) -> None:
    """Copy weights into the module; raises ``InputError`` for a missing or misshapen one."""
    with torch.no_grad():
        for name, tensor in _named(module):
            array = weights.get(name)
            shape = tuple(tensor.shape)
            if array is None:
                raise InputError(f"the weights lack {name}, an array of shape {shape}")
            if array.shape != shape:
                raise InputError(f"the weights' {name} has shape {array.shape}; expected {shape}")
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)))


def _named(module: TorchNetwork) -> Sequence[tuple[str, torch.Tensor]]:
    """Every weight with its name, in the order of the layers."""
    pairs: list[tuple[str, torch.Tensor]] = []
    for layer in module.network.layers:
        if layer.op in ("conv", "linear", "conv_transpose"):
            part = module.get_submodule(layer.name.replace(".", "_"))
            pairs.append((f"{layer.name}.weight", part.get_parameter("weight")))
            if layer.bias:
                pairs.append((f"{layer.name}.bias", part.get_parameter("bias")))
        if layer.norm:
            suffix = "" if layer.op == "norm" else ".norm"
            norm = module.get_submodule(f"{layer.name}{suffix}".replace(".", "_"))
            state = dict(norm.named_parameters()) | dict(norm.named_buffers())
            pairs += [(f"{layer.name}.{ours}", state[own]) for own, ours in _NORM_PARTS.items()]
    return pairs
