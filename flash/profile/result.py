"""What came of measuring: a result that prints itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash.measurements.records import Record, describe_origin, network_key, read_records
from flash.profile.transports.journal import read_journal
from flash.report.base import Result

__all__ = ["ProfileResult", "read_result"]

#: Networks that the short form shows.
_SHOWN = 5


@dataclass(frozen=True, repr=False)
class ProfileResult(Result):
    """Measurements of one device, as they are in the file ``path``.

    header:  device, runtime, threads, precision, date and sensors.
    records: one a network that was measured.
    refused: network and reason, of those that could not be measured.
    summary: what the measuring program said at the end.
    """

    path: Path
    header: Mapping[str, Any]
    records: tuple[Record, ...]
    refused: tuple[tuple[Mapping[str, Any], str], ...]
    summary: str

    def lines(self) -> list[str]:
        """For people: the device, the first networks, what was refused, the file."""
        lines = [f"{len(self.records)} networks measured on {describe_origin(self.header)}"]
        lines += [
            f"  {_named(record.network)[:60]}: {record.latency_ms:.4g} ms"
            + (f", {record.energy_mj:.4g} mJ" if record.energy_mj is not None else "")
            for record in self.records[:_SHOWN]
        ]
        if len(self.records) > _SHOWN:
            lines.append(f"  ... and {len(self.records) - _SHOWN} more")
        if self.refused:
            network, reason = self.refused[0]
            first = f"{_named(network)[:60]}: {reason[:80]}"
            lines.append(f"{len(self.refused)} refused, the first: {first}")
        lines.append(f"written: {self.path}")
        return lines

    def to_records(self) -> list[Mapping[str, Any]]:
        """A row a network."""
        return [
            {
                "network": _named(record.network),
                "latency_ms": record.latency_ms,
                "latency_p10_ms": record.p10_ms,
                "latency_p90_ms": record.p90_ms,
                "energy_mj": record.energy_mj,
                "passes": record.passes,
            }
            for record in self.records
        ]


def read_result(path: Path, summary: str) -> ProfileResult:
    """The result in a file that was just measured; raises ``InputError`` for anything else."""
    found = read_records(path)
    measured = {record.key for record in found.records}
    refused = tuple(
        (record["network"], str(record["error"]))
        for record in read_journal(path)[1]
        if "error" in record and network_key(record["network"]) not in measured
    )
    return ProfileResult(path, found.header, found.records, refused, summary)


def _named(network: Mapping[str, Any]) -> str:
    if "onnx" in network:
        shapes = network.get("input_shapes") or {}
        at = [f"{name}={'x'.join(map(str, shape))}" for name, shape in shapes.items()]
        return " ".join([str(network["onnx"]), *at])
    if "workload" in network:
        return str(network["workload"])
    return f"{network.get('space')}: {network.get('design')}"
