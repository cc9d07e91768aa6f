"""``flash check``: do models keep limits on targets? One verdict each, for continuous integration.

    flash check model.onnx --target rpi4b --max-latency 30ms --max-flash 4MB --markdown -

A measured latency in CI drowns in the runner's noise; a predicted one is the same every time.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, overload

from flash.command import CommandParser
from flash.errors import FlashError, LimitError, UsageError
from flash.estimate.formats import as_stored, tell_note
from flash.estimate.optimised import Optimised
from flash.estimate.options import (
    add_model_options,
    asked_optimiser,
    end_with,
    input_sizes,
    only_shape,
)
from flash.estimate.pricing import (
    SHOWN,
    Model,
    load_targets,
    price_models,
    read_models,
    target_name,
)
from flash.estimate.table import Row, aligned, latency_cell, short
from flash.files.results import put_result
from flash.quantities import (
    EXTRAPOLATED,
    format_energy,
    format_latency,
    format_memory,
    parse_confidence,
    parse_energy_mj,
    parse_latency_ms,
    parse_memory_kb,
)
from flash.report.base import Result
from flash.report.interval import far_factor
from flash.targets import Given, Target

__all__ = ["Check", "CheckReport", "Verdict", "check", "main"]

SCHEMA: Final = "flash.check/1"
#: Quantity -> (how it is shown, the end of its interval that a limit may be held at).
_QUANTITIES: Final = {
    "latency_ms": (format_latency, "latency_high_ms"),
    "energy_mj": (format_energy, "energy_high_mj"),
    "activation_kb": (format_memory, ""),
    "weight_kb": (format_memory, ""),
}
_LABELS: Final = {
    "latency_ms": "latency",
    "energy_mj": "energy",
    "activation_kb": "RAM",
    "weight_kb": "flash",
}


@dataclass(frozen=True)
class Check:
    """One limit on one model and target.

    value:   predicted; judged: what is held against the limit (the far end of the interval where
             a confidence was asked for), in the unit of the quantity's name.
    verdict: ``pass`` or ``fail``; certain: the whole interval is on that side.
    """

    quantity: str
    limit: float
    value: float
    judged: float
    verdict: Literal["pass", "fail"]
    certain: bool

    def __str__(self) -> str:
        show = _QUANTITIES[self.quantity][0]
        sign = "<=" if self.verdict == "pass" else ">"
        at = f" (judged at {show(self.judged)})" if self.judged != self.value else ""
        words = f"{_LABELS[self.quantity]} {show(self.value)}{at} {sign} {show(self.limit)}"
        if show(self.judged) == show(self.limit) and self.judged != self.limit:
            over = 100 * (self.judged / self.limit - 1) if self.limit else 100.0
            return f"{words} ({abs(over):.2g} % {'over' if over > 0 else 'under'})"
        return words


@dataclass(frozen=True)
class Verdict:
    """What became of one model on one target; ``estimate`` is its row of ``flash estimate``."""

    model: str
    target: str
    verdict: Literal["pass", "fail"]
    checks: tuple[Check, ...]
    estimate: Row

    def __str__(self) -> str:
        why = "; ".join(str(c) for c in self.checks if c.verdict == self.verdict)
        return f"{self.verdict} {self.model} on {self.target}: {why}"


@dataclass(frozen=True, repr=False)
class CheckReport(Result, Sequence[Verdict]):
    """One verdict a model and target; a sequence of them.

    limits:     as given, by quantity; ``confidence``: of the interval whose far end is held.
    errors:     files that could not be read, a line each.
    notes:      what figures rest on and how files were read, likewise.
    """

    verdicts: tuple[Verdict, ...]
    limits: Mapping[str, float]
    confidence: float | None
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Verdict: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Verdict, ...]: ...
    def __getitem__(self, index: int | slice) -> Verdict | tuple[Verdict, ...]:
        return self.verdicts[index]

    def __len__(self) -> int:
        return len(self.verdicts)

    @property
    def passed(self) -> bool:
        """Every file could be read and keeps every limit."""
        return not self.errors and all(v.verdict == "pass" for v in self.verdicts)

    def lines(self) -> list[str]:
        """The verdict on all, then the table of them."""
        failed = sum(v.verdict == "fail" for v in self.verdicts)
        head = f"CheckReport: {len(self.verdicts)} verdicts, {failed} failed"
        return [head, *_as_text(self.verdicts).splitlines(), *self.errors]

    def to_records(self) -> list[Mapping[str, Any]]:
        """A row a check: model, target, verdict and the numbers behind it."""
        return [
            {"model": v.model, "target": v.target} | asdict(one)
            for v in self.verdicts
            for one in v.checks
        ]

    def document(self) -> dict[str, Any]:
        """As plain values, schema ``flash.check/1``."""
        return {
            "schema": SCHEMA,
            "limits": dict(self.limits),
            "confidence": self.confidence,
            "passed": self.passed,
            "verdicts": [asdict(v) for v in self.verdicts],
            "errors": list(self.errors),
            "notes": list(self.notes),
        }


def check(
    model: str | Path | Sequence[str | Path],
    *,
    target: str | Sequence[str],
    max_latency_ms: float | None = None,
    max_energy_mj: float | None = None,
    max_ram_kb: float | None = None,
    max_flash_kb: float | None = None,
    confidence: float | None = None,
    runtime: str | None = None,
    hardware: Given | None = None,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
    optimized_by: str | None = None,
) -> CheckReport:
    """One verdict a model and target; the limits are on predictions.

    max_ram_kb:   most activations alive at one time; max_flash_kb: weights; 10^3 bytes each, in the
                  number format of the file, else of the target.
    confidence:   0.5 to 0.99: latency and energy are held at the far end of that interval; None
                  holds the predicted value.
    optimized_by: ``onnxruntime``: of the graph that it makes of each model here.

    Raises ``UsageError`` without any limit, ``InputError`` for a file that is no model.
    """
    paths = [model] if isinstance(model, str | Path) else list(model)
    limits = _limits(max_latency_ms, max_energy_mj, max_ram_kb, max_flash_kb)
    targets = load_targets(target, runtime, hardware)
    read, errors = read_models(paths, input_shape, inputs)
    if errors:
        raise errors[0]
    optimised = Optimised(optimized_by, input_shape, inputs) if optimized_by else None
    return _judged(read, targets, limits, confidence, optimised=optimised)


def _judged(
    models: Sequence[Model],
    targets: Sequence[Target],
    limits: Mapping[str, float],
    confidence: float | None,
    errors: list[FlashError] | None = None,
    optimised: Optimised | None = None,
) -> CheckReport:
    notes = [f"{model.name}: {note}" for model in models for note in model.network.notes]

    def tell(note: str) -> None:
        notes.append(note)
        tell_note(note)

    verdicts = []
    for model, target in itertools.product(models, targets):
        for row in price_models([model], [target], (*SHOWN,), False, optimised, errors, tell):
            stored = as_stored(model.name, model.network, target, lambda _: None)
            verdicts.append(_judge(row, target_name(stored), limits, confidence))
    failed = tuple(map(str, errors or ()))
    return CheckReport(tuple(verdicts), limits, confidence, failed, tuple(notes))


def _limits(
    latency_ms: float | None,
    energy_mj: float | None,
    activation_kb: float | None,
    weight_kb: float | None,
) -> dict[str, float]:
    given = {
        "latency_ms": latency_ms,
        "energy_mj": energy_mj,
        "activation_kb": activation_kb,
        "weight_kb": weight_kb,
    }
    limits = {name: value for name, value in given.items() if value is not None}
    if not limits:
        raise UsageError(
            "give at least one limit: --max-latency, --max-energy, --max-ram or --max-flash"
        )
    return limits


def _judge(row: Row, target: str, limits: Mapping[str, float], confidence: float | None) -> Verdict:
    checks = []
    for name, limit in limits.items():
        value = row.get(name)
        if value is None:
            raise UsageError(
                f"nobody measured the {_LABELS[name]} of {target}: leave --max-{_LABELS[name]} out"
            )
        high = _QUANTITIES[name][1] or name
        far, near = float(row[high]), float(row[high.replace("high", "low")])
        judged = value if confidence is None else value * (far / value) ** far_factor(confidence)
        passed = judged <= limit
        certain = far <= limit if passed else near > limit
        checks.append(
            Check(name, limit, value, judged, "pass" if passed else "fail", bool(certain))
        )
    failed = any(c.verdict == "fail" for c in checks)
    return Verdict(str(row["design"]), target, "fail" if failed else "pass", tuple(checks), row)


# ------------------------------------------------------------------------------- the command
def _parser() -> CommandParser:
    parser = CommandParser(
        "check", "Do models keep limits on targets? Exit code 0 if all do, 3 if one does not."
    )
    add = parser.add_argument
    add(
        "models", nargs="+", metavar="MODEL.onnx", help="ONNX files, or names (flash list networks)"
    )
    add_model_options(parser)
    add("--max-latency", metavar="30ms", help="of one inference, as predicted")
    add("--max-energy", metavar="5mJ", help="the same of the energy, where it was measured")
    add("--max-ram", metavar="256KiB", help="of activations alive at one time")
    add("--max-flash", metavar="1MB", help="of weights")
    add("--confidence", metavar="90%", help="hold limits at the far end of this interval")
    add("--json", metavar="FILE", help="write JSON to FILE or to stdout with '-'")
    add("--markdown", metavar="FILE", help="write a table for a pull request likewise")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``LimitError`` (exit code 3) where a model exceeds a limit."""
    options = _parser().parse_args(arguments)
    if not options.target:
        raise UsageError("give a --target, e.g. --target rpi4b")
    if options.json == "-" and options.markdown == "-":
        raise UsageError("--json and --markdown cannot both go to standard output")
    limits = _limits(
        _read(parse_latency_ms, options.max_latency, "--max-latency"),
        _read(parse_energy_mj, options.max_energy, "--max-energy"),
        _read(parse_memory_kb, options.max_ram, "--max-ram"),
        _read(parse_memory_kb, options.max_flash, "--max-flash"),
    )
    confidence = parse_confidence(options.confidence, "--confidence")
    targets = load_targets(options.target, options.runtime, options.hardware)
    models, errors = read_models(options.models, only_shape(options), input_sizes(options))
    verdicts = _judged(models, targets, limits, confidence, errors, asked_optimiser(options))
    if options.json:
        put_result(options.json, verdicts.to_json())
    if options.markdown:
        put_result(options.markdown, _as_markdown(verdicts))
    if "-" not in (options.json, options.markdown) and verdicts:
        sys.stdout.write(_as_text(verdicts))
    end_with(errors)
    failed = [v for v in verdicts if v.verdict == "fail"]
    if failed:
        more = f" (and {len(failed) - 1} more)" if failed[1:] else ""
        raise LimitError(f"{failed[0]}{more}")


def _read(parse: Any, text: str | None, option: str) -> float | None:
    return None if text is None else float(parse(text, option))


def _as_text(verdicts: Sequence[Verdict]) -> str:
    cells = [["verdict", "model", "target", "why"]]
    for v in verdicts:
        why = "; ".join(str(c) for c in v.checks if c.verdict == v.verdict) + _doubt(v)
        cells.append([v.verdict, short(v.model), v.target, why])
    return aligned(cells)


def _doubt(verdict: Verdict) -> str:
    """That another verdict is as well possible, for people; empty where it is not."""
    decisive = (c for c in verdict.checks if c.verdict == verdict.verdict)
    return "" if all(c.certain for c in decisive) else "; the limit lies inside its interval"


def _as_markdown(report: CheckReport) -> str:
    lines = [
        "| verdict | model | target | latency (interval) | RAM | flash | limits |",
        "|---|---|---|---|---|---|---|",
    ]
    for v in report:
        row, mark = v.estimate, "✅ pass" if v.verdict == "pass" else "❌ **fail**"
        memory = (format_memory(row[name]) for name in ("activation_kb", "weight_kb"))
        limits = "; ".join(str(c) for c in v.checks) + _doubt(v)
        cells = (mark, f"`{v.model}`", v.target, latency_cell(row), *memory, limits)
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |")
    lines += [f"\n⚠️ {_escaped(error)}" for error in report.errors]
    lines += [f"\nnote: {_escaped(note)}" for note in report.notes]
    if any(v.estimate.get("extrapolated") for v in report):
        lines.append(f"\n\\* {EXTRAPOLATED}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """A cell's text: one line, no column of its own."""
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\|")
