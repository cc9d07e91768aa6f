"""The page itself: one HTML file with everything in it.

What the report calls things is data to the page, never markup: it stands in a JSON block in
which ``<`` is escaped, and the script writes it as text. The page's own policy lets no other
script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from flash import __version__
from flash.explorer.facts import Source, baselines, layers_of, projection
from flash.quantities import quantity
from flash.report import DesignReport, SearchReport
from flash.report.interval import Interval, far_factor

__all__ = ["explorer_html"]

#: Bytes that the layers of designs may take, and the page without them should leave.
_LAYER_BYTES, _PAGE_BYTES = 250_000, 980_000
#: Significant digits of objectives, of other values and of the ends of intervals.
_EXACT, _DIGITS, _ENDS = 9, 6, 4
_STYLES = ("uplot.min.css", "page.css")
_SCRIPTS = ("uplot.min.js", "front.js", "charts.js", "page.js")
#: Quantity -> the option of ``flash search`` that limits it, and the unit behind the number.
_LIMITS = {
    "accuracy": ("--min-accuracy", ""),
    "latency_ms": ("--max-latency", "ms"),
    "energy_mj": ("--max-energy", "mJ"),
    "memory_kb": ("--max-memory", "kB"),
    "area_mm2": ("--max-area", "mm2"),
}


def explorer_html(report: SearchReport, source: Source, chip_svg: str = "") -> str:
    """The page of a search.

    source:   the space and target as ``flash search`` takes them, and its command.
    chip_svg: the drawing of the balanced design's chip; empty where there is none.

    Raises ``FlashError`` where the report does not fit the space or the target.
    """
    facts = _facts(report, source)
    facts["chip"] = "data:image/svg+xml;base64," + _base64(chip_svg) if chip_svg else ""
    rest = _PAGE_BYTES - len(_page(facts).encode())
    facts["layers"] = _layers(report, source, min(rest, _LAYER_BYTES))
    return _page(facts)


# -------------------------------------------------------------------------------- what it shows
def _facts(report: SearchReport, source: Source) -> dict[str, Any]:
    names = list(dict.fromkeys((report.score, *_columns(report))))
    variables, columns = _variables(report, source)
    seen = projection([v["name"] for v in variables], columns)
    return {
        "schema": "flash.explorer/1",
        "flash": __version__,
        "space": report.space.name,
        "target": report.target["name"],
        "device": report.target.get("description", ""),
        "size": str(report.space.size),
        "objectives": list(report.objectives),
        "score": report.score,
        "limits": dict(report.limits),
        "far": 0 if report.confidence is None else far_factor(report.confidence),
        "quantities": [_quantity(name, report) for name in names],
        "ids": [design.id for design in report.front],
        "outside": "".join("01"[design.extrapolated] for design in report.front),
        "untrained": "".join("01"[_untrained(design)] for design in report.front),
        "picks": {label: design.id for label, design in report.picked},
        "variables": variables,
        "projection": {
            "x": _rounded(seen.points[:, 0], _ENDS),
            "y": _rounded(seen.points[:, 1], _ENDS),
            "axes": list(seen.axes),
        },
        "baselines": [
            {
                "name": one.name,
                "x": _rounded(one.latency_ms, _ENDS),
                "y": _rounded(one.score, _ENDS),
            }
            for one in baselines(report, source)
        ],
        "own": [{"name": model.name, **model.quantities} for model in source.own],
        "toml": source.space_text(),
        "command": list(source.command) or _command(report, source),
        "certificate": report.certificate_without_time,
        "sources": [list(line) for line in report.sources],
        "notes": list(report.notes),
        "layers": {},
    }


def _columns(report: SearchReport) -> Iterable[str]:
    """Quantities of the designs in the order shown, those that some design has."""
    known = ("accuracy", *report.objectives, "latency_ms", "energy_mj", "area_mm2", "memory_kb")
    for name in (*known, "params", "macs", "nn_degree", *report.front[0].proxies):
        if any(design.quantity(name) is not None for design in report.front):
            yield name


def _quantity(name: str, report: SearchReport) -> dict[str, Any]:
    of = quantity(name)
    found = [design.estimate(name) for design in report.front]
    digits = _EXACT if name in report.objectives else _DIGITS
    option, unit = _LIMITS.get(name, ("--min-score" if name == report.score else "", ""))
    entry = {
        "name": name,
        "label": report.accuracy.label(name),
        "unit": of.symbol,
        "sense": of.sense,
        "option": option,
        "suffix": unit,
        "value": _rounded((_end(value, "value") for value in found), digits),
    }
    if any(isinstance(value, Interval) for value in found):
        entry["low"] = _rounded((_end(value, "low") for value in found), _ENDS)
        entry["high"] = _rounded((_end(value, "high") for value in found), _ENDS)
    return entry


def _end(value: Interval | float | None, end: str) -> float | None:
    return getattr(value, end) if isinstance(value, Interval) else value


def _untrained(design: DesignReport) -> bool:
    return design.accuracy is not None and design.accuracy.extrapolated


def _variables(report: SearchReport, source: Source) -> tuple[list[dict[str, Any]], Any]:
    """The variables with each design's position in their values, and the values as columns.

    Variables of the chip are there where designs differ in them.
    """
    space, front = source.networks, report.front
    for design in front:
        space.design(design.design)  # a report of another space is refused
    found, columns = [], []
    for name in sorted({key for design in front for key in design.hardware}):
        values = [design.hardware.get(name, 0) for design in front]
        if len(set(values)) > 1:
            found.append(_variable(name, sorted(set(values)), values, chip=True))
            columns.append(values)
    for name, grid in zip(space.variables, space.grids, strict=True):
        values = [design.design[name] for design in front]
        found.append(_variable(name, grid.tolist(), values, chip=False))
        columns.append(values)
    return found, np.array(columns, dtype=np.float64).T


def _variable(
    name: str, grid: Sequence[int], values: Sequence[int], *, chip: bool
) -> dict[str, Any]:
    place = {value: k for k, value in enumerate(grid)}
    return {"name": name, "chip": chip, "grid": list(grid), "of": [place[v] for v in values]}


def _command(report: SearchReport, source: Source) -> list[str]:
    """The search as far as a report tells it, without its limits."""
    words = ["flash", "search", "--target", source.target, "--space", source.space]
    if source.runtime:
        words += ["--runtime", source.runtime]
    named = [
        "score" if quantity(name).sense == "max" else quantity(name).word
        for name in report.objectives
    ]
    return [*words, "--objectives", ",".join(named)]


def _layers(report: SearchReport, source: Source, most: int) -> dict[str, Any]:
    """Layers by the design's position: the picks, then designs spread over the front.

    As many as ``most`` bytes hold. Numbers are in ms and mJ.
    """
    places = {design.id: k for k, design in enumerate(report.front)}
    picks = [places[identity] for _, identity in report.picks.items()]
    spread = _spread(len(report.front))
    found: dict[str, Any] = {}
    size = 0
    for place in dict.fromkeys((*picks, *spread)):
        design = report.front[place]
        rows = [
            [name, op, *_rounded((latency, energy), _ENDS)]
            for name, op, latency, energy in layers_of(source, design)
        ]
        entry = {"text": design.short, "rows": rows}
        size += len(json.dumps(entry, ensure_ascii=False).encode()) + len(str(place)) + 4
        if size > most:
            break
        found[str(place)] = entry
    return found


def _spread(count: int) -> list[int]:
    """0 to count - 1 in an order whose every beginning is spread evenly (bits reversed)."""
    bits = max((count - 1).bit_length(), 1)
    order = (int(f"{k:0{bits}b}"[::-1], 2) for k in range(1 << bits))
    return [k for k in order if k < count]


def _rounded(values: Iterable[float | None], digits: int) -> list[float | int | None]:
    return [None if value is None else _short(float(value), digits) for value in values]


def _short(value: float, digits: int) -> float | int:
    number = float(f"{value:.{digits}g}")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


# --------------------------------------------------------------------------------- how it is put
def _page(facts: Mapping[str, Any]) -> str:
    script = "\n".join(map(_asset, _SCRIPTS))
    licence = _asset("uplot.LICENSE").replace("--", "- -")
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{_digest(script)}'"
    )
    data = json.dumps(facts, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    title = html.escape(f"{facts['space']} on {facts['target']}")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="flash {__version__}">\n<title>{title} - flash</title>\n'
        f"<!-- uPlot, in this page:\n{licence}-->\n"
        f"<style>\n{chr(10).join(map(_asset, _STYLES))}\n</style>\n</head>\n"
        f"<body>\n{_asset('body.html')}\n"
        f'<script type="application/json" id="facts">{safe}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("flash.explorer").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
