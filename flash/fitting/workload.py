"""Networks as counts of distinct kernels: what fits and baselines work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flash.spaces.network import Network
from flash.targets.processor.costs import executed_layers, kernel_ms
from flash.targets.processor.kernel_classes import CALL, KERNEL_CLASSES, LANES, Kernel
from flash.targets.processor.kernels import kernel_of
from flash.targets.processor.profile import Coefficients

__all__ = ["Workload", "counted", "kernels_run", "workload"]

Floats = NDArray[np.float64]

_CONV, _DEPTHWISE = ("conv3x3", "conv", "grouped"), "depthwise"


@dataclass(frozen=True)
class Workload:
    """Networks as counts of distinct kernels.

    kernels: fields of shape (kernels,). counts: (networks, kernels).
    """

    kernels: Kernel
    counts: Floats
    element_bytes: int

    def latency_ms(self, coefficients: Coefficients) -> Floats:
        """Predicted latency of each network, shape (networks,)."""
        times = kernel_ms(self.kernels, coefficients, self.element_bytes)
        # A runtime that runs next to nothing of a network still takes some time.
        result: Floats = np.maximum(self.counts @ times, 1e-9)
        return result

    def subset(self, rows: NDArray[np.intp]) -> Workload:
        """The networks with these numbers."""
        return Workload(self.kernels, self.counts[rows], self.element_bytes)

    def distinct(self) -> NDArray[np.int64]:
        """Distinct kernels of each network, shape (networks,)."""
        kernels = np.asarray(self.kernels.kind) != CALL
        result: NDArray[np.int64] = (self.counts[:, kernels] > 0).sum(axis=1)
        return result

    def totals(self) -> dict[str, Floats]:
        """Totals of each network, each of shape (networks,).

        ``macs``, ``conv_macs`` (windows larger than 1 x 1, depthwise ones left out),
        ``depthwise_macs``, ``bytes`` (activations and weights), ``activation_bytes``,
        ``weight_bytes`` and ``kernels``.
        """
        k, kinds = self.kernels, np.asarray(self.kernels.kind)
        macs = k.weights * k.positions
        conv = np.isin(kinds, [KERNEL_CLASSES.index(c) for c in _CONV])
        columns = {
            "macs": macs,
            "conv_macs": macs * conv,
            "depthwise_macs": macs * (kinds == KERNEL_CLASSES.index(_DEPTHWISE)),
            "bytes": (k.elements + k.weights) * self.element_bytes,
            "activation_bytes": k.elements * self.element_bytes,
            "weight_bytes": k.weights * self.element_bytes,
            "kernels": k.launches * (kinds != CALL),
        }
        return {name: self.counts @ np.asarray(column) for name, column in columns.items()}

    def launches(self) -> Floats:
        """Kernels of each class that each network runs, shape (networks, classes)."""
        kinds, launches = np.asarray(self.kernels.kind), np.asarray(self.kernels.launches)
        by_class = [(kinds == c) * launches for c in range(len(KERNEL_CLASSES))]
        result: Floats = self.counts @ np.stack(by_class, axis=1)
        return result


def workload(
    networks: Sequence[Network],
    executes: str,
    element_bytes: int = 4,
    fusion: str = "conv",
    lanes: int = LANES[0],
) -> Workload:
    """The kernels that a runtime runs for each network."""
    return counted([kernels_run(n, executes, fusion, lanes) for n in networks], element_bytes)


def kernels_run(network: Network, executes: str, fusion: str, lanes: int) -> list[tuple[int, ...]]:
    """The fields of each kernel that a runtime runs for a network, in order, and of the call."""
    layers = executed_layers(network, executes, fusion, lanes)
    kernels = [tuple(int(field) for field in kernel_of(x, fusion, lanes)) for x in layers]
    return [*kernels, (CALL, 0, 0, 0, 0, 0, 1)]


def counted(networks: Sequence[Sequence[tuple[int, ...]]], element_bytes: int) -> Workload:
    """The workload of networks given as what ``kernels_run`` returns."""
    numbers: dict[tuple[int, ...], int] = {}
    entries: list[tuple[int, int]] = []
    for row, kernels in enumerate(networks):
        entries += [(row, numbers.setdefault(kernel, len(numbers))) for kernel in kernels]
    counts = np.zeros((len(networks), len(numbers)))
    np.add.at(counts, tuple(np.array(entries).T), 1.0)
    fields = np.array(list(numbers), dtype=np.int64).T
    return Workload(Kernel(*fields), counts, element_bytes)
