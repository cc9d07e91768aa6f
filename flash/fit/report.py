"""What ``flash.fit`` returns: a profile and how each of its runtimes did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flash.fitting.learning import Learned
from flash.fitting.sisters import FEW_RUNS
from flash.report.base import Result
from flash.targets.processor.kernel_classes import CALL
from flash.targets.processor.profile import Profile, Runtime
from flash.targets.processor.profile_file import profile_text

__all__ = ["FitReport"]

_SCHEMA = "flash.fit/1"
#: An interval that ends above so many times the prediction decides between no designs.
_WIDE = 2.0
#: Greater errors are not told apart (per cent).
_MOST_PERCENT = 1000
#: A rate (GMAC/s) at which work takes no time.
_NO_WORK = 1e8
_VARIANT_FIELDS = ("weight", "executes", "fusion", "lanes")


@dataclass(frozen=True, repr=False)
class FitReport(Result):
    """A fitted profile and how each of its runtimes did; prints itself as a table.

    learned: runtime -> its fit. problems: rows that could not be used, a line each.
    doubts: measurements that were used and look wrong, likewise.
    """

    profile: Profile
    learned: Mapping[str, Learned]
    problems: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """A line a runtime, its held-out error in it; ``str`` is the whole table."""
        lines = [f"FitReport: {self.profile.name}, {self.profile.description}"]
        for name, r in self.profile.runtimes.items():
            how = r.provenance
            error = f"median error {how.median_error_percent:g} %, MAPE {how.mape_percent:g} %"
            lines.append(f"  {name}: {how.networks} networks, held out {error}")
        return [*lines, *(f"  left out: {problem}" for problem in self.problems)]

    def to_records(self) -> list[Mapping[str, Any]]:
        """A row a runtime: its networks and its errors on networks left out."""
        return [
            {
                "profile": self.profile.name,
                "runtime": name,
                "networks": r.provenance.networks,
                "median_error_percent": r.provenance.median_error_percent,
                "mape_percent": r.provenance.mape_percent,
                "spearman": r.provenance.spearman,
                "interval_low": r.interval.low,
                "interval_high": r.interval.high,
                "coverage": self.learned[name].coverage if name in self.learned else None,
            }
            for name, r in self.profile.runtimes.items()
        ]

    def __str__(self) -> str:
        if not self.learned:
            lines = (f"{r.name}: {r.provenance_line}" for r in self.profile.runtimes.values())
            return "\n".join((f"{self.profile.name}: {self.profile.description}", *lines))
        told = [line for name, found in self.learned.items() for line in self._lines(name, found)]
        return "\n".join([*told, *(f"careful: {doubt}" for doubt in self.doubts)])

    def _lines(self, name: str, found: Learned) -> list[str]:
        runtime, interval = self.profile.runtimes[name], found.interval
        lines = [
            f"{self.profile.name}:{name}   {runtime.in_words}, "
            f"{runtime.provenance.networks} networks, {runtime.precision}",
            *_runs(found),
            "",
            f"{_held_out(runtime):38s}{'median error':>13s}{'MAPE':>10s}{'Spearman':>10s}",
            _line("this profile", found.figures),
        ]
        lines += [_line(b.name, b.figures, b.note) for b in found.baselines]
        if found.kinds:
            lines += ["", "a kind of network left out altogether"]
            lines += [_line(kind, figures) for kind, figures in found.kinds.items()]
        if found.energy_figures:
            lines += ["", _line("energy", found.energy_figures)]
        else:
            lines += ["", f"energy     {runtime.energy.how}"]
        if found.coverage is None:
            return [*lines, "", *_few_runs(runtime, found)]
        better = found.baselines and _best_baseline(found)
        if better:
            lines += ["", f"note: {better} has a smaller held-out error than this profile"]
        lines += [
            "",
            f"90 % interval x{interval.low:g} to x{interval.high:g}; made without each fold it "
            f"covers {found.coverage:.0%} of that fold's networks",
        ]
        if interval.high > _WIDE:
            lines.append(
                f"note: {runtime.provenance.networks} networks leave more than a factor of "
                f"{_WIDE:g} open: profile more of them, or for longer (flash profile --budget 5min)"
            )
        if all(min(v.coefficients.gmac_s[:CALL]) >= _NO_WORK for v in found.variants):
            lines.append(
                "note: the number of kernels alone explains these networks, work costs nothing in "
                "this profile: it says nothing of wider ones (profile some)"
            )
        if found.coverage_of_kinds is not None:
            lines.append(
                f"for unlike networks x{interval.outside_low:g} to x{interval.outside_high:g}, "
                f"which covers {found.coverage_of_kinds:.0%} of those left out with their kind"
            )
        return lines

    def document(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        runtimes = {
            name: {
                "executes": found.variants[0].executes,
                "fusion": found.variants[0].fusion,
                "lanes": found.variants[0].lanes,
                "variants": [
                    {name: getattr(v, name) for name in _VARIANT_FIELDS} for v in found.variants
                ],
                "fitted_by": found.fitted_by,
                "networks": self.profile.runtimes[name].provenance.networks,
                "held_out": found.figures,
                "candidates": found.errors,
                "kinds_left_out": found.kinds,
                "baselines": [asdict(b) for b in found.baselines],
                "energy_held_out": found.energy_figures,
                "interval": {"low": found.interval.low, "high": found.interval.high},
                "coverage": found.coverage,
                "coverage_of_kinds": found.coverage_of_kinds,
            }
            for name, found in self.learned.items()
        }
        return {
            "schema": _SCHEMA,
            "name": self.profile.name,
            "runtimes": runtimes,
            "problems": list(self.problems),
            "doubts": list(self.doubts),
            "profile": profile_text(self.profile),
        }


def _runs(found: Learned) -> list[str]:
    """What the runtime may run, by weight, and how the coefficients were estimated."""
    shares: dict[tuple[str, str, int], float] = {}
    for v in found.variants:
        key = v.executes, v.fusion, v.lanes
        shares[key] = shares.get(key, 0.0) + v.weight
    runs = [
        f"executes {executes}, fusion {fusion}, {lanes} lanes ({share:.0%})"
        for (executes, fusion, lanes), share in sorted(shares.items(), key=lambda x: -x[1])
    ]
    by = sorted(found.fitted_by.items(), key=lambda x: -x[1])
    return [
        *(f"{'runs' if k == 0 else '':11s}{text}" for k, text in enumerate(runs)),
        "fitted by  " + "; ".join(f"{name} ({share:.0%})" for name, share in by),
    ]


def _few_runs(runtime: Runtime, found: Learned) -> list[str]:
    """What few runs of a sister board can fix, and what they cannot."""
    runs = runtime.provenance.networks
    fixed = "its speed" if runs < 3 else "its speed and what a kernel costs"
    whose = "that of other boards from as many runs"
    if found.contradicted:
        whose = "as far as these runs lie from what the prior and the others let expect"
    return [
        f"90 % interval x{found.interval.low:g} to x{found.interval.high:g}, {whose}",
        f"note: {runs} run{'s' if runs > 1 else ''} can fix {fixed}, the proportions are the sister"
        f" board's; {FEW_RUNS} or more fix all",
    ]


def _held_out(runtime: Runtime) -> str:
    """The title of the table of errors: which networks each fit has not seen."""
    return f"held out ({runtime.provenance.held_out.partition(';')[0]})"


def _line(name: str, figures: Mapping[str, float] | None, note: str = "") -> str:
    if figures is None:
        return f"  {name:36s}{note:>33s}"
    median, mape = (_percent(figures[key]) for key in ("median_error_percent", "mape_percent"))
    return f"  {name:36s}{median:>13s}{mape:>10s}{figures['spearman']:10.3f}"


def _percent(value: float) -> str:
    """One decimal; errors beyond ten times the truth are all as bad."""
    return f"> {_MOST_PERCENT:g} %" if value > _MOST_PERCENT else f"{value:.1f} %"


def _best_baseline(found: Learned) -> str:
    """The baseline that beats the profile by median error and MAPE; empty if none does."""
    both = ("median_error_percent", "mape_percent")
    for b in found.baselines:
        if b.figures is not None and all(b.figures[k] < found.figures[k] for k in both):
            return b.name
    return ""
