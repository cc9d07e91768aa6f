"""A search on one screen: the picks with their intervals, what to believe, what to do next.

At most 24 lines of 80 columns. Everything else is in the files, and behind ``--verbose``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flash.quantities import count_in_words, format_number, quantity
from flash.report.columns import breakable, rows_of
from flash.report.data import IN_PLACE_OF, OF_THE_MODEL, AccuracyStatus
from flash.report.interval import Interval
from flash.targets.base import ANALYTICAL

if TYPE_CHECKING:
    from flash.report.data import SpaceSummary
    from flash.report.design import DesignReport
    from flash.report.result import SearchReport

__all__ = ["render_brief"]

#: What takes the designs too that were not searched.
_ALL = "(--extrapolate: all)"
#: A gap is shown as no less than this, in per cent.
_LEAST_SHOWN = 0.01
#: How the note begins that says that nothing is known of what few bits cost.
_OF_FLOATS = "predicted accuracies are those of floats"

#: Characters of the names of the picks, and the blanks behind them.
_MARGIN = 15
#: And where their lines would not fit on a screen: names have no column of their own.
_HANGING = 2
#: Lines of a screen; blank ones are left out where they would not fit.
_LINES = 24
#: Gaps of less are rounding.
_SAME = 1e-9
#: High over low from which an interval is wide: its numbers then have two digits, not three.
_WIDE = 1.5


def render_brief(
    report: SearchReport,
    files: Sequence[str | Path] = (),
    width: int = 80,
    *,
    quiet: bool = False,
) -> str:
    """The search in a few lines of at most ``width`` characters (60 or more).

    files: what was written; the next command names the first of them.
    quiet: the picks and the certificate alone.
    """
    for margin in (_MARGIN, _HANGING):
        lines = _lines(report, files, width, margin, quiet)
        if len(lines) > _LINES:
            lines = [line for line in lines if line]
        if len(lines) <= _LINES:
            break
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _lines(
    report: SearchReport, files: Sequence[str | Path], width: int, margin: int, quiet: bool
) -> list[str]:
    lines = _wrap(_headline(report), width)
    if report.limits:
        lines += _wrap(f"limits: {_limits(report)}", width)
    lines.append("")
    for row in rows_of(report, quiet=True):
        design, quantities = breakable(row.design.short), _quantities(report, row.design)
        if margin == _HANGING:
            lines += _hanging(f"{row.label}  {design}", quantities, width)
            continue
        label = row.label
        if len(label) >= margin:  # one design is several picks
            lines.append(label)
            label = ""
        block = _joined((design, *quantities), width - margin)
        lines += [f"{label:<{margin}}{block[0]}", *(" " * margin + words for words in block[1:])]
    if report.space.legend and not quiet:
        lines += _wrap(report.space.legend, width)
    lines.append("")
    around = ([], []) if quiet else (_beliefs(report), _next(files))
    for words in (*around[0], _certificate(report), *around[1]):
        lines += _wrap(words, width)
    return lines


def _headline(report: SearchReport) -> str:
    objectives = ", ".join(map(report.accuracy.label, report.objectives))
    space = report.space
    words = (
        f"{space.name} on {_target(report)}: front over {objectives}, "
        f"{len(report.front):,} of {count_in_words(space.size)} designs"
    )
    return "; searched: ".join([words, *_inside(space)])


def _target(report: SearchReport) -> str:
    """The target as users name it: a board with its runtime, as that decides the latency."""
    name, runtime = report.target["name"], report.target.get("runtime")
    return f"{name}:{runtime}" if runtime else f"{name}"


def _inside(space: SpaceSummary) -> list[str]:
    """Which designs were searched, where not all were, and what takes all: at most one phrase."""
    trained = (
        space.searched and f"the {count_in_words(space.searched)} like those that were trained"
    )
    if space.measured is None:
        return [f"{trained} {_ALL}"] if trained else []
    percent = 100 * space.measured
    share = f"about {percent:.0f} %" if percent >= 1 else "fewer than 1 %"
    if trained:
        return [f"{share} of {trained}, those like what was measured too {_ALL}"]
    return [f"{share} of them, those like what was measured {_ALL}"]


def _limits(report: SearchReport) -> str:
    words = {"max": "at least", "min": "at most"}
    limits = ", ".join(
        f"{report.accuracy.label(name)} {words[quantity(name).sense]} "
        f"{quantity(name).format(bound)}"
        for name, bound in report.limits.items()
    )
    if report.confidence is None:
        return limits
    return f"{limits}, at the far end of the {100 * report.confidence:g} % interval"


def _quantities(report: SearchReport, design: DesignReport) -> list[str]:
    """The design's quantities in words, those with an interval first."""
    predicted = ("accuracy",) if report.accuracy.calibrated else ()
    score = () if predicted and report.score not in report.objectives else (report.score,)
    names = dict.fromkeys((*predicted, *score, "latency_ms", "energy_mj", "area_mm2"))
    words = []
    for name in names:
        value = design.estimate(name)
        if value is None:
            continue
        of = quantity(name)
        mark = _mark(design, name)
        if isinstance(value, Interval):
            digits = 2 if value.high > _WIDE * value.low else 3
            numbers = (value.value, value.low, value.high)
            middle, low, high = (format_number(number, digits) for number in numbers)
            words.append(
                f"{report.accuracy.label(name)} {middle}{mark} ({low} to {high}) {of.unit}".rstrip()
            )
        else:
            words.append(f"{of.label} {of.number(value)}{mark}")
    words.append(f"memory {quantity('memory_kb').format(design.memory_kb)}")
    return words


def _mark(design: DesignReport, name: str) -> str:
    if name == "latency_ms" and design.extrapolated:
        return "*"
    if name == "accuracy" and design.accuracy is not None and design.accuracy.extrapolated:
        return "^"
    return ""


def _beliefs(report: SearchReport) -> list[str]:
    """What to believe: what the figures rest on, how many designs lie outside of that."""
    basis = report.target.get("basis")
    more = " (--verbose)" if basis == ANALYTICAL else ""
    known = [f"{basis}{more}{_power(report)}"] if isinstance(basis, str) and basis else []
    other = [note for note in report.notes if note.startswith(IN_PLACE_OF)]
    known += [f"{quantity(report.score).label} is {note}" for note in other]
    known += [note for note in report.notes if note.startswith((_OF_FLOATS, OF_THE_MODEL))]
    return [*_level(report.accuracy, report.objectives), *known, *_outside(report)]


def _power(report: SearchReport) -> str:
    """Where an energy's power comes from, if nobody measured it."""
    assumed = any(line.startswith("energy: assumed") for _, line in report.sources)
    return "; energy is from an assumed power" if assumed else ""


def _level(accuracy: AccuracyStatus, objectives: Sequence[str]) -> list[str]:
    """After which training a network has the accuracies shown, where any are."""
    if not accuracy.level:
        return []
    of = accuracy.level.removeprefix(f"{accuracy.measure} ")
    that = "" if of == accuracy.level else "that "
    words = f"{accuracy.measure} is {that}{of}"
    return [words if "accuracy" in objectives else f"{words}; the front is not over it"]


def _outside(report: SearchReport) -> list[str]:
    """How many designs are unlike what was measured or trained."""
    count = len(report.front)
    outside = sum(design.extrapolated for design in report.front)
    untrained = sum(d.accuracy is not None and d.accuracy.extrapolated for d in report.front)
    words = []
    if outside:
        some = f"{outside:,} of {count:,} designs are" if count > 1 else "the design is"
        words.append(f"* {some} outside what was measured")
    if untrained:
        some = f"{untrained:,} of {count:,} are" if count > 1 else "it is"
        words.append(f"^ {some} beyond the networks that were trained")
    if words:
        return ["; ".join(words) + ": measure or train one before you rely on it"]
    if not report.accuracy.calibrated:
        return [f"{quantity(report.score).label} ranks designs; it is no accuracy"]
    measured = "" if report.target.get("basis") == ANALYTICAL else "measured and "
    return [f"every design is inside what was {measured}trained"]


def _certificate(report: SearchReport) -> str:
    """How good the front is, in one line; the whole sentence is in the files."""
    done = report.optimizer
    # Of a front too long to show the optimizer says how many designs are left, and at what loss.
    parts = done.message.split("; ")
    thinned = [part for part in parts if part.startswith("shown are ")]
    thinned += [part for part in parts if thinned and part.endswith("networks and are left out")]
    if done.certified:
        words = ["certified: no design searched beats one shown, under the models", *thinned]
        # Where hardware is searched the gap is that of the front shown, not of the optimizer alone.
        hardware = report.target.get("hardware", {})
        if done.name != "exact" and done.gap is not None and "searched" not in hardware:
            words.append(_alone(done.name, done.gap))
        return "; ".join(words)
    if done.gap is not None:
        share = f"{max(100 * done.gap, _LEAST_SHOWN):.2g} %"
        words = [f"not certified: at most {share} of any front's hypervolume is missing", *thinned]
        return "; ".join(words)
    return f"not certified: {done.message.split(';')[0] or 'the gap to the optimum is not known'}"


def _alone(optimizer: str, gap: float) -> str:
    """How far the heuristic search came before the exact one."""
    return (
        f"{optimizer} found it alone"
        if gap < _SAME
        else f"{optimizer} came within {100 * gap:.2g} %"
    )


def _next(files: Sequence[str | Path]) -> list[str]:
    front = next((path for path in map(Path, files) if path.suffix == ".json"), None)
    if front is None:
        return ["next: --verbose shows more of the front and where each number comes from"]
    beside = [path.name for path in map(Path, files) if path.parent == front.parent]
    apart = [str(path) for path in map(Path, files) if path.parent != front.parent]
    places = [str(front)] if len(beside) == 1 else [f"{front.parent}: {', '.join(beside)}"]
    return [
        f"written to {', and to '.join([*places, *apart])}",
        f"next: flash export {front} --format onnx (more: --verbose)",
    ]


def _joined(parts: Sequence[str], width: int) -> list[str]:
    """The design on the first line, then its quantities, as many a line as fit."""
    lines = textwrap.wrap(parts[0], width, break_on_hyphens=False) or [""]
    return [*lines, *_packed(parts[1:], width)]


def _hanging(named: str, quantities: Sequence[str], width: int) -> list[str]:
    """The same under a small margin; quantities follow on the line on which a long design ends."""
    first, *others = _wrap(named, width)
    ends = [others.pop().strip()] if others else []
    packed = _packed([*ends, *quantities], width - _HANGING)
    return [first, *others, *(" " * _HANGING + line for line in packed)]


def _packed(parts: Sequence[str], width: int) -> list[str]:
    """Parts with commas between them, as many a line as fit."""
    lines, current = list[str](), ""
    for part in parts:
        longer = f"{current}, {part}" if current else part
        if len(longer) >= width and current:  # a comma follows where the line goes on
            lines.append(current + ",")
            longer = part
        current = longer
    return [*lines, current]


def _wrap(words: str, width: int) -> list[str]:
    """Lines of at most ``width`` characters; a number keeps its per cent."""
    kept = words.replace(" %", "\N{NO-BREAK SPACE}%")
    lines = textwrap.wrap(kept, width, subsequent_indent="  ", break_on_hyphens=False) or [""]
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
