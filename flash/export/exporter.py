"""What an exporter is, and the exporters by the name of their format.

A new one is a file of this room and one line in ``EXPORTERS``, or an entry point of group
``flash.exporters`` in a package of your own. ``flash.testing.ExporterConformance`` holds it to
what is promised here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flash.errors import UsageError, did_you_mean
from flash.export.order import Build, Order
from flash.plugins import Registry

__all__ = ["EXPORTERS", "Exporter", "find_formats"]


def _nothing(entry: Mapping[str, Any]) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Exporter:
    """A form in which a design is delivered.

    build:    the files of one design and what the manifest says of them. It raises
              ``FlashError`` unless the files compute what ``Order.content`` computes, and
              ``UsageError`` where a library is missing.
    describe: manifest entry -> what a line for people says of it beside the size.
    compiles: for one machine, which ``Order.machine`` names.
    runs_in:  the framework that runs the file, as profiles name it; empty where any may.
    bits:     of weights and activations, where the file has whole numbers; 0 where it has floats.
    """

    build: Callable[[Order], Build]
    describe: Callable[[Mapping[str, Any]], Sequence[str]] = _nothing
    compiles: bool = False
    runs_in: str = ""
    bits: int = 0


#: Exporters by the name users give a format.
EXPORTERS: Registry[Exporter] = Registry(
    "flash.exporters",
    "format",
    {
        "onnx": "flash.export.onnx_file:ONNX",
        "onnx-boxes": "flash.export.detection:BOXES",
        "onnx-int8": "flash.export.int8:ONNX_INT8",
        "onnx-nms": "flash.export.detection:NMS",
        "torch": "flash.export.torch_file:TORCH",
        "tvm": "flash.export.tvm_library:TVM",
    },
)


def find_formats(given: str | Sequence[str]) -> list[str]:
    """Format names, from ``A,B`` or a list; raises ``UsageError`` for one that is unknown."""
    words = given.split(",") if isinstance(given, str) else given
    if not words:
        raise UsageError("name at least one format")
    for word in words:
        if word not in EXPORTERS:
            hint = did_you_mean(word, EXPORTERS)
            known = ", ".join(sorted(EXPORTERS))
            listed = "" if known in hint else f"; formats of a design: {known}"
            raise UsageError(f"unknown format '{word}'{hint}{listed}")
    return list(dict.fromkeys(words))
