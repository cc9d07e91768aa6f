"""The design for PyTorch: its weights as a state file, and the way back to a module."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flash.errors import FlashError, InputError, UsageError, did_you_mean
from flash.export.exporter import Exporter
from flash.export.order import Build, Order
from flash.files.reading import read_json
from flash.spaces.space import load_space

if TYPE_CHECKING:
    from flash.backends.torch.module import TorchNetwork

__all__ = ["TORCH", "load_torch", "torch_build"]

#: Largest difference of PyTorch's output to onnxruntime's, over the largest output (at least 1).
_TOLERANCE: Final = 1e-4


def torch_build(order: Order) -> Build:
    """``STEM.pt``: tensors by the names of ``flash.backends.weights``, as fp32.

    Raises ``FlashError`` unless the module computes what onnxruntime makes of the ONNX file.
    """
    from flash.backends import (  # noqa: PLC0415 (extras)
        run_onnx,
        run_torch,
        state_file,
        torch_version,
    )

    if order.cut is not None:
        return _cut_build(order)
    image = np.random.default_rng(order.seed).standard_normal((1, *order.shape), dtype=np.float32)
    got = run_torch(order.network, order.weights, image)
    want = tuple(run_onnx(order.content, {"input": image}).values())
    if [x.shape for x in got] != [x.shape for x in want]:
        raise FlashError("the PyTorch module gives other outputs than the ONNX file")
    error = max(
        float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))
        for a, b in zip(got, want, strict=True)
    )
    if not error <= _TOLERANCE:
        raise FlashError(f"the PyTorch module differs from onnxruntime by {error:.3g}")
    entry = {
        **order.signature,
        "torch": torch_version(),
        "load": 'flash.export.load_torch("manifest.json", ID) -> torch.nn.Module',
        "verified": [f"PyTorch module against onnxruntime: difference {error:.1e}"],
    }
    return Build({f"{order.stem}.pt": state_file(order.weights)}, entry)


def _cut_build(order: Order) -> Build:
    """The same of a model that was cut from a user's."""
    from flash.backends import (  # noqa: PLC0415 (extras)
        graph_weights,
        run_graph,
        run_onnx,
        state_file,
        torch_graph,
        torch_version,
    )

    image = np.random.default_rng(order.seed).standard_normal((1, *order.shape), dtype=np.float32)
    module = torch_graph(order.model)
    got, want = run_graph(module, {"input": image}), run_onnx(order.content, {"input": image})
    error = max(
        float(np.abs(got[name] - b).max() / max(1.0, np.abs(b).max())) for name, b in want.items()
    )
    if not error <= _TOLERANCE:
        raise FlashError(f"the PyTorch module differs from onnxruntime by {error:.3g}")
    entry = {
        **order.signature,
        "torch": torch_version(),
        "load": 'flash.backends.torch_graph(open("FILE.onnx", "rb").read()) -> torch.nn.Module',
        "verified": [f"PyTorch module against onnxruntime: difference {error:.1e}"],
    }
    return Build({f"{order.stem}.pt": state_file(graph_weights(module))}, entry)


def load_torch(
    manifest: str | Path, design: str | None = None, space: str | None = None
) -> TorchNetwork:
    """A delivered design as a PyTorch module with its weights, to train or run.

    manifest: ``manifest.json`` of an export with the format torch; the files beside it.
    design:   an id, where there are several.
    space:    the space's file, where it is none that comes with flash.

    ``numpy.savez("trained.npz", **flash.backends.module_weights(module))`` stores what was
    trained for ``flash.export --weights``. Raises ``InputError`` for files that are damaged or
    not what the manifest says, ``UsageError`` for an unknown design.
    """
    from flash.backends import read_state, torch_network  # noqa: PLC0415 (an extra)

    place = Path(manifest)
    try:
        document = read_json(place)
        entries: dict[str, Any] = {entry["id"]: entry for entry in document["designs"]}
        name = document["space"]["name"]
    except (KeyError, TypeError):
        raise InputError(f"{place}: no manifest of flash.export") from None
    if design is None and len(entries) == 1:
        design = next(iter(entries))
    if design not in entries:
        raise UsageError(f"{place}: give the design's id{did_you_mean(design or '', entries)}")
    entry = entries[design]
    builds = [build for build in entry["builds"] if build["format"] == "torch"]
    if not builds:
        raise UsageError(f"{place}: design {design} was not exported with --format torch")
    path = place.parent / Path(builds[0]["file"]).name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != builds[0]["sha256"]:
        raise InputError(f"{path}: not the file that {place.name} speaks of (its hash differs)")
    where = load_space(space or name)
    return torch_network(where.network(where.design(entry["design"])), read_state(content, path))


TORCH = Exporter(torch_build, runs_in="PyTorch")
