"""What ``flash.search`` returns: the data of a search that show themselves.

``flash.report.reading.read_search`` is the way back from JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flash.quantities import quantity
from flash.report.base import Result
from flash.report.data import SearchData
from flash.report.design import design_record
from flash.report.page import search_html

__all__ = ["SearchReport"]


@dataclass(frozen=True, repr=False)
class SearchReport(SearchData, Result):
    """A finished search that shows and stores itself; its fields are those of ``SearchData``."""

    def document(self) -> dict[str, Any]:
        """As plain values, schema ``flash.search/1``."""
        return {**self._head(), "front": [design.to_dict() for design in self.front]}

    def _head(self) -> dict[str, Any]:
        """The document without its designs."""
        return {
            "schema": self.schema,
            "target": dict(self.target),
            "space": self.space.to_dict(),
            "objectives": list(self.objectives),
            "limits": dict(self.limits),
            **({} if self.confidence is None else {"confidence": self.confidence}),
            "accuracy": self.accuracy.to_dict(),
            "optimizer": self.optimizer.to_dict(),
            "picks": vars(self.picks),
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """The JSON document, one line a design; always valid JSON.

        Raises ``ValueError`` for a target whose values JSON cannot hold.
        """
        lines = [f"  {_json(key)}: {_json(value)}" for key, value in self._head().items()]
        front = ",\n".join([f"    {design.to_json()}" for design in self.front])
        return "{\n" + ",\n".join([*lines, f'  "front": [\n{front}\n  ]']) + "\n}\n"

    def to_records(self) -> list[dict[str, Any]]:
        """A row a design of the front, the columns of ``front.csv``."""
        named = [(label.replace(" ", "_"), identity) for label, identity in self.picks.items()]
        proxies = list(dict.fromkeys(name for design in self.front for name in design.proxies))
        return [design_record(design, named, proxies) for design in self.front]

    def lines(self) -> list[str]:
        """At most ten: what was searched, the picks, the certificate, where the rest is."""
        count = f"{len(self.front):,} design{'s' if self.front[1:] else ''}"
        lines = [f"SearchReport: {self.space.name} on {self.target['name']}, {count}"]
        lines.append(f"  objectives    {', '.join(map(self.accuracy.label, self.objectives))}")
        for label, design in self.picked:
            lines.append(f"  {label:<14}{design.text(self.score, self.accuracy.label(self.score))}")
        if self.limits:
            limits = (
                f"{self.accuracy.label(n)} {quantity(n).format(v)}" for n, v in self.limits.items()
            )
            lines.append(f"  limits        {', '.join(limits)}")
        lines.append(f"  {self.certificate}")
        return [*lines, "  more: .front, .picks, .notes, .to_dataframe(), .to_json()"]

    def _repr_html_(self) -> str:
        return search_html(self)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _json(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except TypeError as error:
        raise ValueError(str(error)) from None
