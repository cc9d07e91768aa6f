"""What is to be delivered, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flash.backends.tvm.machine import Machine
from flash.backends.weights import Weights
from flash.export.calibration import Images
from flash.spaces.network import Network

if TYPE_CHECKING:
    import onnx

    from flash.backends.tvm.tuning import Tuning

__all__ = ["Build", "Order", "signature_of"]


@dataclass(frozen=True)
class Build:
    """One format of one design.

    files: name -> content; the first is the one the manifest calls ``file``.
    entry: what the manifest says beside name, hash and size of that file.
    """

    files: Mapping[str, bytes]
    entry: Mapping[str, Any]

    def to_dict(self, format: str) -> dict[str, Any]:
        """As in the manifest."""
        name, content = next(iter(self.files.items()))
        return {
            "format": format,
            "file": name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            **self.entry,
        }


@dataclass(frozen=True)
class Order:
    """A design to deliver.

    stem:    of the files' names.
    weights: every layer's, and ``weights_from``: how they came about.
    seed:    of the verifying input, and of the noise where there are no images.
    images:  the user's, for calibration; None for noise.
    machine: what TVM compiles for, ``tuning``: its budget and log, ``run_with``: the command that
             starts a Python with TVM on the machine, to verify the library; empty: not done.
    cut:     the model itself, where it was cut from a user's; the weights are in it.
    preprocessing: what has to be done to a sample first (``flash.preprocessing/1``), if known; it
             goes into the ONNX file's metadata.
    """

    network: Network
    stem: str
    weights: Weights
    weights_from: str
    seed: int = 0
    images: Images | None = None
    machine: Machine | None = None
    tuning: Tuning | None = None
    run_with: str = ""
    cut: onnx.ModelProto | None = None
    preprocessing: Mapping[str, Any] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's input."""
        source = self.network.source
        return int(source.channels), int(source.height), int(source.width)

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The fp32 ONNX model; checked."""
        from flash.backends import network_model  # noqa: PLC0415 (an extra)

        made: onnx.ModelProto = self.cut or network_model(self.network, self.weights, self.stem)
        if self.preprocessing is not None:
            text = json.dumps(dict(self.preprocessing), ensure_ascii=False)
            made.metadata_props.add(key="flash.preprocessing", value=text)
        return made

    @cached_property
    def content(self) -> bytes:
        """The fp32 ONNX file; checked, and run once on noise of ``seed``.

        Raises ``FlashError`` unless it gives finite numbers of the shape it declares.
        """
        from flash.backends import verify_onnx  # noqa: PLC0415 (an extra)

        content: bytes = self.model.SerializeToString(deterministic=True)
        verify_onnx(content, self.seed)
        return content

    @cached_property
    def signature(self) -> dict[str, Any]:
        """Input and output (name, shape, type), as in the manifest; several are ``outputs``."""
        return signature_of(self.model)


def signature_of(model: onnx.ModelProto) -> dict[str, Any]:
    """Input and output of a model: name, shape, type; several outputs are a list ``outputs``."""
    (source,), outputs = model.graph.input, [_signature(x) for x in model.graph.output]
    found = {"input": _signature(source)}
    return found | ({"output": outputs[0]} if len(outputs) == 1 else {"outputs": outputs})


def _signature(value: Any) -> dict[str, Any]:
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return {"name": value.name, "shape": shape, "type": "float32"}
