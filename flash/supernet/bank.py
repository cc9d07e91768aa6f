"""The weights that all designs of a space share, and the modules that run designs with them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flash.backends.torch.module import TorchNetwork
from flash.backends.weights import kernel_shape
from flash.spaces.layers import Layer
from flash.spaces.space import SearchSpace
from flash.supernet.binary import binary_convolution
from flash.supernet.network import GATE, Path, check_sharing, path_of

__all__ = ["SharedNetwork", "WeightBank"]

#: Modules kept for designs that are drawn again.
_KEPT: Final = 256
#: Weights of a batch norm by the names of ``flash.backends.weights`` -> PyTorch's.
_OF_NORM: Final = {"scale": "weight", "shift": "bias"}


class WeightBank:
    """(Place, operation, shape) -> weights, for all designs of a space.

    A layer's place is where the family's code emits it (``flash.supernet.network``); two designs
    share the weights of a layer that has the same place, operation and shape in both. Weights are
    made when a design first needs them, each from a seed of its own: kernels normal with variance
    2 / fan-in (He et al. 2015), as a network that stands alone begins.

    Attributes: ``parts``, what holds the weights by key; ``names``, of each weight; ``gates``, of
    shape (variables, most values of any), a factor of the result of each operation. All
    gates are 1; only their gradient is of use.

    Raises ``UsageError`` for a space whose networks cannot share weights.
    """

    def __init__(self, space: SearchSpace, seed: int = 0, *, binary: bool = False) -> None:
        check_sharing(space)
        self.space, self.seed, self.binary = space, seed, binary
        self.parts: dict[str, nn.Module] = {}
        self.names: dict[torch.Tensor, str] = {}
        self._stored: dict[str, torch.Tensor] = {}
        sizes = [len(grid) for grid in space.grids]
        self.gates = torch.ones(len(sizes), max(sizes), requires_grad=True)
        self.gated = True
        self._modules: dict[bytes, SharedNetwork | None] = {}

    def module(self, design: NDArray[np.int64]) -> SharedNetwork | None:
        """A design (indices) with the shared weights; None where nothing reaches the output."""
        key = np.ascontiguousarray(design, dtype=np.int64).tobytes()
        if key not in self._modules:
            if len(self._modules) >= _KEPT:
                self._modules.pop(next(iter(self._modules)))
            path = path_of(self.space, design)
            self._modules[key] = SharedNetwork(path, self) if path.network.layers else None
        return self._modules[key]

    @contextmanager
    def without_gates(self) -> Iterator[None]:
        """Networks do not multiply by the gates, which saves a fifth of a step's time."""
        self.gated = False
        try:
            yield
        finally:
            self.gated = True

    def part(self, key: str, make: Callable[[], nn.Module]) -> nn.Module:
        """What holds the weights of a key, made where it is not there yet."""
        if key not in self.parts:
            with torch.device("meta"):  # PyTorch's own beginning would draw random numbers
                part = make()
            norm = isinstance(part, nn.BatchNorm2d)
            if isinstance(part, nn.BatchNorm2d):  # the batch's own statistics, always
                part.track_running_stats = False
                part.running_mean = part.running_var = part.num_batches_tracked = None
            part.to_empty(device="cpu")
            with torch.no_grad():
                for own, weight in part.named_parameters():
                    name = self.names[weight] = f"{key} {own}"
                    if name in self._stored:
                        weight.copy_(self._stored.pop(name))
                    else:
                        weight.copy_(self._initial(name, tuple(weight.shape), norm))
            self.parts[key] = part
        return self.parts[key]

    def state(self) -> dict[str, torch.Tensor]:
        """All weights made so far by name."""
        return self._stored | {name: weight.detach() for weight, name in self.names.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Begin with these weights, of a bank of the same space; call it on a new bank."""
        self._stored = dict(state)

    def _initial(self, name: str, shape: tuple[int, ...], norm: bool) -> torch.Tensor:
        if len(shape) == 1:
            return torch.full(shape, float(norm and name.endswith("weight")))
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        deviation = np.float32(np.sqrt(2.0 / np.prod(shape[1:])))
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * deviation)

    def weights(self, design: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """The shared weights under the names of the network that stands alone.

        As ``flash.backends.weights`` has them, for ``space.network(design).live()``; running
        statistics of batch norms are those of a network that has seen nothing.
        """
        module = self.module(design)
        if module is None:
            return {}
        found: dict[str, NDArray[np.float32]] = {}
        for name, weight in module.named_parameters():
            part, _, own = name.rpartition(".")
            found[f"{module.names[part]}.{own}"] = weight.detach().numpy().copy()
        for layer in module.network.layers:
            if layer.norm:
                inner = "" if layer.op == "norm" else ".norm"
                for ours, torchs in _OF_NORM.items():
                    found[f"{layer.name}.{ours}"] = found.pop(f"{layer.name}{inner}.{torchs}")
                channels = int(layer.out_channels)
                found[f"{layer.name}.mean"] = np.zeros(channels, dtype=np.float32)
                found[f"{layer.name}.variance"] = np.ones(channels, dtype=np.float32)
        return found


class SharedNetwork(TorchNetwork):
    """A design that runs with the weights of a bank; batch norms use the batch's statistics."""

    def __init__(self, path: Path, bank: WeightBank) -> None:
        self._path, self._bank = path, bank
        self._layers = {layer.name: layer for layer in path.network.layers}
        #: Name of each part as PyTorch allows it -> as the layer, or its norm, has it.
        self.names: dict[str, str] = {}
        super().__init__(path.network)
        self.train()

    def _part(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        self.names[name.replace(".", "_")] = name
        layer = self._layers[name.removesuffix(".norm")]
        shape = "x".join(map(str, kernel_shape(layer)))
        kind = "norm" if name.endswith(".norm") else layer.op
        key = f"{self._path.places[layer.name]} {kind} {shape}"
        return super()._part(name, lambda: self._bank.part(key, make))

    def _operation(self, layer: Layer) -> Callable[[list[torch.Tensor]], torch.Tensor]:
        if layer.op == GATE:
            place = self._path.gates[layer.name]
            return lambda v: v[0] * self._bank.gates[place] if self._bank.gated else v[0]
        if self._bank.binary and layer.op == "conv" and layer.cell >= 0:
            super()._operation(layer)  # makes the part that has the weights
            part: Any = self.get_submodule(layer.name.replace(".", "_"))
            return lambda v: binary_convolution(part, v[0])
        return super()._operation(layer)
