"""Where the latency of a network goes, predicted and measured: layer by layer, block by block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from flash.estimate.table import Row
from flash.measurements.records import KernelTime
from flash.metrics import layer_entropies
from flash.spaces.network import Network
from flash.targets import Target
from flash.targets.breakdown import LayerCost

__all__ = ["block_rows", "latency_rows", "layer_rows", "with_measured"]

_SHOWN_DETAILS: Final = (
    "macs",
    "bytes",
    "sram_bytes",
    "dram_bytes",
    "cycles",
    "stall_cycles",
    "tiles",
)
#: Components of a layer's name that are its block: ``/layer1/layer1.0`` of PyTorch's exporter.
_BLOCK_DEPTH: Final = 2
#: What is added up over the layers of a block.
_SUMMED: Final = ("latency_ms", "share", "macs", "bytes", "measured_ms")


def layer_rows(network: Network, target: Target | None, run: Network | None = None) -> list[Row]:
    """Where latency goes on a target and entropy is lost, layer by layer.

    A layer as the target runs it has the entropy of the last layer of the network in it, where
    they have names in common. run: the kernels that are run, where they were read.
    """
    lost = {
        of.layer: {
            "entropy": of.entropy, "entropy_lost": of.lost, "capacity_share": of.capacity
        }
        for of in layer_entropies(network)
    }  # fmt: skip
    if target is None:
        ops = {layer.name: layer.op for layer in network.layers}
        return [{"layer": name, "op": ops[name], **values} for name, values in lost.items()]
    unknown = dict.fromkeys(("entropy", "entropy_lost", "capacity_share"))
    rows = latency_rows(run or network, target)
    return [row | lost.get(row["layer"], unknown) for row in rows]


def latency_rows(network: Network, target: Target) -> list[Row]:
    """Where the latency of a network goes, layer by layer as the target runs it.

    ``bound``: what a layer's time is spent on, ``compute``, ``memory`` or ``overhead``; empty
    where the target does not say. ``rated``: whether its operation has a rate of its own.
    """
    found = target.breakdown(network).layers
    total = sum(layer.latency_ms for layer in found)
    return [
        {
            "layer": layer.name,
            "op": layer.op,
            "latency_ms": layer.latency_ms,
            "share": layer.latency_ms / total if total else 0.0,
            **{name: value for name, value in layer.details.items() if name in _SHOWN_DETAILS},
            **_of_chip(layer),
            "bound": layer.bound,
            "rated": layer.rated,
        }
        for layer in found
    ]


def _of_chip(layer: LayerCost) -> Row:
    """Share of multipliers or cells at work, and energy with its components, where a chip tells."""
    if math.isnan(layer.utilisation):
        return {}
    parts = {f"{name.lower().replace(' ', '_')}_mj": e for name, e in layer.energy_mj.items()}
    return {"utilisation": layer.utilisation, "energy_mj": sum(parts.values()), **parts}


def with_measured(rows: Sequence[Row], kernels: Sequence[KernelTime]) -> tuple[list[Row], float]:
    """The rows with ``measured_ms``, None where no kernel has the layer's name; and the share of
    the measured time that is in kernels without a row.

    kernels: as onnxruntime's profiler timed them, under the names of its optimised graph.
    """
    from flash.backends import plain_name  # noqa: PLC0415 (an extra)

    times = {plain_name(k.name).strip("/"): k.ms for k in kernels}
    found = [row | {"measured_ms": times.get(str(row["layer"]).strip("/"))} for row in rows]
    matched = sum(row["measured_ms"] or 0.0 for row in found)
    total = sum(times.values())
    return found, 1.0 - matched / total if total else 0.0


def block_rows(rows: Sequence[Row]) -> list[Row]:
    """Sums over the layers of each block, in order of execution.

    A block is what the layers' names have in front: two components of a path
    (``/blocks/blocks.0/attn/MatMul``), one of a name with dots (``body1.conv3``). Layers whose
    names say no block are blocks of their own; none at all where no two layers share one.
    """
    blocks: dict[str, Row] = {}
    for row in rows:
        name = _block(str(row["layer"]))
        own = blocks.setdefault(name, {"block": name, "layers": 0})
        own["layers"] += 1
        for key in _SUMMED:
            if row.get(key) is not None:
                own[key] = own.get(key, 0.0) + row[key]
    found = list(blocks.values())
    return found if any(block["layers"] > 1 for block in found) else []


def _block(layer: str) -> str:
    if "/" in layer.strip("/"):
        parts = layer.strip("/").split("/")
        return "/".join(parts[:-1][:_BLOCK_DEPTH]) or layer
    return layer.split(".")[0] if "." in layer else layer
