"""What ``export`` returns: the manifest and where its files are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash.export.exporter import EXPORTERS
from flash.quantities import format_latency, format_memory, format_number, quantity
from flash.report.base import Result

__all__ = ["ExportReport"]

#: What a row of the records takes from a design as it stands.
_DESIGN = ("description", "params", "macs", "extrapolated", "weights")
_BUILD = ("format", "file", "bytes", "sha256")


@dataclass(frozen=True, repr=False)
class ExportReport(Result):
    """Designs delivered.

    folder:   that the files are in.
    manifest: the document ``flash.manifest/1``, as ``manifest.json`` there has it.
    """

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def files(self) -> tuple[Path, ...]:
        """The file of each design and format, then the manifest."""
        builds = (build for entry in self.manifest["designs"] for build in entry["builds"])
        return (*(self.folder / b["file"] for b in builds), self.folder / "manifest.json")

    def document(self) -> dict[str, Any]:
        """The manifest."""
        return dict(self.manifest)

    def to_records(self) -> list[Mapping[str, Any]]:
        """A row a file: the design with its expected costs, then the file."""
        return [
            {
                "id": entry["id"],
                "picks": " ".join(entry["picks"]),
                "design": json.dumps(entry["design"]),
                **{name: entry[name] for name in _DESIGN},
                **_ends("latency_ms", entry["latency_ms"]),
                **_ends("energy_mj", entry["energy_mj"]),
                **{name: build[name] for name in _BUILD},
            }
            for entry in self.manifest["designs"]
            for build in entry["builds"]
        ]

    def lines(self) -> list[str]:
        """What each design is expected to cost, and the files."""
        lines = []
        for entry in self.manifest["designs"]:
            lines.append(f"{entry['id']}: {_summary(entry)}")
            for build in entry["builds"]:
                lines.append(f"written: {self.folder / build['file']} ({_size(build)})")
        return [*lines, f"written: {self.folder / 'manifest.json'}", *self._notes()]

    def _notes(self) -> list[str]:
        """Where the latency expected is of another framework than a file's, a line."""
        framework = self.manifest["target"].get("framework", "")
        builds = (build for entry in self.manifest["designs"] for build in entry["builds"])
        formats = dict.fromkeys(str(build["format"]) for build in builds)
        others = [
            f"{name} runs in {runs_in}"
            for name in formats
            if framework
            and (runs_in := EXPORTERS[name].runs_in)
            and runs_in.lower() not in framework.lower()
        ]
        notes = [f"note: the latency expected is in {framework}; {', '.join(others)}"]
        return (notes if others else []) + self._formats_apart()

    def _formats_apart(self) -> list[str]:
        """Where a design's chip computes in other numbers than a file holds, a line each."""
        notes = []
        for entry in self.manifest["designs"]:
            bits = entry.get("hardware", {}).get("bits")
            holds = {build["format"]: EXPORTERS[build["format"]].bits for build in entry["builds"]}
            others = [
                f"{name} holds {f'{own} bits' if own else 'floats'}"
                for name, own in holds.items()
                if own != bits
            ]
            if bits is not None and others:
                notes.append(
                    f"note: {entry['id']} is expected to cost what it does in {bits} bits; "
                    + ", ".join(others)
                )
        return notes


def _ends(name: str, interval: Mapping[str, Any] | None) -> dict[str, float | None]:
    ends = (None if interval is None else interval[end] for end in ("value", "low", "high"))
    return dict(zip(quantity(name).columns, ends, strict=True))


def _summary(entry: Mapping[str, Any]) -> str:
    latency = entry["latency_ms"]
    bounds = f"{format_latency(latency['low'])} to {format_latency(latency['high'])}"
    return (
        f"{format_number(entry['params'])} params, {format_number(entry['macs'])} MACs, "
        f"expected {format_latency(latency['value'])}, {bounds}; weights {entry['weights']}"
    )


def _size(build: Mapping[str, Any]) -> str:
    """Size of a file, and what its exporter says of it."""
    words = [format_memory(build["bytes"] / 1e3), *EXPORTERS[build["format"]].describe(build)]
    return ", ".join(words)
