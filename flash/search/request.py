"""What a user asks a search for: one frozen object, checked as far as that needs no file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from flash.errors import UsageError, did_you_mean
from flash.optimize.optimizer import OPTIMIZERS
from flash.proxies.options import ProxyOptions, is_proxy, refuse_unused
from flash.search.waiting import Tell, silent

if TYPE_CHECKING:
    from flash.targets.chips import Given

__all__ = ["COSTS", "OPTIMIZER", "PICKS", "SHORTLIST", "Request"]

#: Costs that can be objectives, by the word users type -> the quantity.
COSTS = MappingProxyType(
    {
        "latency": "latency_ms",
        "energy": "energy_mj",
        "memory": "memory_kb",
        "area": "area_mm2",
    }
)
#: Designs that a metric that runs the network scores.
SHORTLIST = 64
#: Certified by the exact one, whose front is returned.
OPTIMIZER = "shgo"
#: What the picks are, for help and for the reader of a report.
PICKS = (
    "picks: fastest has the least latency; most accurate the highest accuracy (or score); balanced "
    "is nearest to the ideal point that has the best of each objective, on scales from 0 to 1 over "
    "the front, costs by their logarithm. Where such a design is outside what was measured, one "
    "inside whose interval reaches its value (for balanced: in every objective) is the pick instead"
)


@dataclass(frozen=True)
class Request:
    """The arguments of ``flash.search.search``, see there.

    tell: hears the share of a long certificate that is done, 0 to 1 (for each number format).

    Raises ``UsageError`` for an optimizer, objective, limit, seed or size that cannot be.
    """

    target: str = "rpi3b"
    space: str = "cifar10-concat"
    runtime: str | None = None
    hardware: Given | None = None
    objectives: Sequence[str] | None = None
    objective: str | None = None
    metric: str | None = None
    max_latency_ms: float | None = None
    max_energy_mj: float | None = None
    max_memory_kb: float | None = None
    max_area_mm2: float | None = None
    min_score: float | None = None
    min_accuracy_percent: float | None = None
    confidence: float | None = None
    optimizer: str = OPTIMIZER
    extrapolate: bool = False
    seed: int = 0
    certify_seconds: float | None = None
    shortlist: int | None = None
    scoring: ProxyOptions = field(default_factory=ProxyOptions)
    tell: Tell = silent

    def __post_init__(self) -> None:
        if isinstance(self.objectives, str):
            object.__setattr__(self, "objectives", (self.objectives,))
        self._check_objectives()
        OPTIMIZERS.check((self.optimizer,))
        if not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(f"the seed must be a whole number of 0 or more, got {self.seed!r}")
        for name, bound in self.limits.items():
            if not isinstance(bound, int | float) or not math.isfinite(bound) or bound < 0:
                raise UsageError(
                    f"the limit on {name} must be a number of 0 or more, got {bound!r}"
                )
        self._check_scoring()
        scalar = self.single or self.min_score is not None or self.min_accuracy_percent is not None
        if self.proxy and scalar:
            raise UsageError(
                f"--metric {self.proxy} takes no --objective flash, --min-score or --min-accuracy"
            )

        self._check_confidence()

    def _check_confidence(self) -> None:
        if self.confidence is None:
            return
        if not 0.5 <= self.confidence <= 0.99:
            raise UsageError(f"a confidence is from 0.5 to 0.99, got {self.confidence!r}")
        if not set(self.limits) - {"memory_kb", "score"}:
            raise UsageError(
                "--confidence holds limits at the far end of an interval: give --max-latency, "
                "--max-energy, --max-area or --min-accuracy"
            )
        if self.proxy or self.single:
            what = f"--metric {self.proxy}" if self.proxy else "--objective flash"
            raise UsageError(f"--confidence cannot be asked for with {what}")

    def _check_scoring(self) -> None:
        """Refuse what a metric that runs the network cannot use, or nothing else can."""
        size = self.shortlist
        if size is not None and (type(size) is not int or size < 2):
            raise UsageError(f"a shortlist has 2 designs or more, got {size!r}")
        if not self.proxy:
            refuse_unused(self.scoring, self.metric)
            if size is not None:
                raise UsageError("--shortlist needs a --metric that runs the network, e.g. zico")

    def _check_objectives(self) -> None:
        if self.objective is not None and self.objective != "flash":
            hint = did_you_mean(self.objective, ["flash"])
            raise UsageError(f"unknown objective '{self.objective}'{hint}")
        if self.objectives is None:
            return
        if self.objective is not None:
            raise UsageError("give --objective flash or --objectives, not both")
        for name in self.objectives:
            known = ("score", *COSTS)
            if name not in (*known, "accuracy"):
                raise UsageError(f"unknown objective '{name}'{did_you_mean(name, known)}")
        if len(set(self.words)) != len(self.objectives) or len(self.objectives) < 2:
            raise UsageError("a front needs at least two different objectives, e.g. score,latency")

    @property
    def words(self) -> tuple[str, ...]:
        """The objectives given, "accuracy" as "score": they are one where that is maximised."""
        return tuple("score" if name == "accuracy" else name for name in self.objectives or ())

    @property
    def limits(self) -> dict[str, float]:
        """The limits given: quantity, "score" or "accuracy" -> bound in its unit."""
        given = {
            "latency_ms": self.max_latency_ms,
            "energy_mj": self.max_energy_mj,
            "memory_kb": self.max_memory_kb,
            "area_mm2": self.max_area_mm2,
            "score": self.min_score,
            "accuracy": self.min_accuracy_percent,
        }
        return {name: bound for name, bound in given.items() if bound is not None}

    @property
    def memory(self) -> bool:
        """Memory is an objective, or limited."""
        return "memory" in self.words or self.max_memory_kb is not None

    @property
    def single(self) -> bool:
        """One design is asked for, not a front."""
        return self.objective is not None

    @property
    def proxy(self) -> str:
        """The metric that runs the network, to pick anew by; empty where none is asked for."""
        return self.metric if self.metric is not None and is_proxy(self.metric) else ""
