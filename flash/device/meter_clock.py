"""How far an external meter's clock is off, found from the windows' edges.

Before and after each window nothing runs, so the power rises at its begin and falls at its end.
For an offset, each window with its flanks is split into inside and outside; what the two means
explain of the power's variation, less what they leave, is the offset's score (the difference of
the between-class and within-class sums of squares, as in Otsu's threshold). Windows whose
power is lower inside than outside count negatively.

Domain of validity: offsets up to ten minutes, three windows or more. Windows at equal distances
look alike when shifted by that distance: the nearest offset is taken if it is clearly nearer,
else none is. A lag of the meter, half its period on average, is part of the offset.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, NamedTuple, Sequence

from flash.device.ground.refusal import Refused

#: Largest offset that is looked for, in seconds; a meter that is further off has no clock.
LARGEST_OFFSET_S = 600.0
#: Fewest windows that tell.
FEWEST_WINDOWS = 3
#: Power that changes by less than this share at the edges tells nothing, and costs no more.
FLAT = 0.05
#: Share of the variation around the windows that the right offset explains at least.
EXPLAINED = 0.6
#: Offsets whose scores are this close to the best are as good as the best.
AS_GOOD = 0.9
#: An offset is clearly nearer than another at half its size.
NEARER = 0.5
#: Length of the flanks where the file does not tell how long the pauses were, in seconds.
FLANK_S = 1.0
#: Half a coarse step beside the top, the score is still more than this share of it.
COARSE = 0.5
#: Most steps of the coarse search.
MOST_STEPS = 6000


class Offset(NamedTuple):
    """A meter's clock less this device's.

    checked: whether the readings rise and fall with the windows at this offset.
    windows: how many windows tell so.
    """

    seconds: float
    checked: bool
    windows: int


class _Integral:
    """Integrals over time of a meter's power and of its square, each reading held to the next."""

    def __init__(self, samples: Sequence[tuple[float, float]]) -> None:
        self.times = [moment for moment, _ in samples]
        self.watts = [watts for _, watts in samples]
        self.first, self.second = [0.0], [0.0]
        for number, watts in enumerate(self.watts[:-1]):
            length = self.times[number + 1] - self.times[number]
            self.first.append(self.first[-1] + watts * length)
            self.second.append(self.second[-1] + watts * watts * length)

    def to(self, moment: float) -> tuple[float, float]:
        """Both integrals from the first reading to ``moment``."""
        number = min(max(bisect_right(self.times, moment) - 1, 0), len(self.times) - 1)
        beyond, watts = moment - self.times[number], self.watts[number]
        return self.first[number] + watts * beyond, self.second[number] + watts * watts * beyond

    def between(self, begin: float, end: float) -> tuple[float, float]:
        """Both integrals over a stretch of time."""
        (a, b), (c, d) = self.to(begin), self.to(end)
        return c - a, d - b


class _Score(NamedTuple):
    """How well an offset explains the power around the windows.

    score: between less within, in W^2 s; total: their sum. windows: how many have readings.
    rise: how much higher the power is inside than outside, as a share.
    varies: standard deviation of the power around the windows, as a share of that inside.
    """

    score: float
    total: float
    windows: int
    rise: float
    varies: float

    @property
    def explained(self) -> float:
        """Share of the variation that lies between inside and outside, from 0 to 1."""
        return (1.0 + self.score / self.total) / 2.0 if self.total > 0 else 0.0


def find_offset(
    windows: Sequence[dict[str, Any]], samples: Sequence[tuple[float, float]]
) -> Offset:
    """The offset of a meter's clock; raises ``Refused`` where there is one that nobody can tell.

    ``checked`` is false where too few windows or a steady power tell nothing of the clock.
    """
    usable = [w for w in windows if w["seconds"] > 0]
    if len(usable) < FEWEST_WINDOWS or len(samples) < 2 * len(usable):
        return Offset(0.0, False, 0)
    integral = _Integral(samples)
    shortest = min(w["seconds"] for w in usable)
    step = max(2 * LARGEST_OFFSET_S / MOST_STEPS, 0.1 * shortest)
    count = int(LARGEST_OFFSET_S / step)
    coarse = [(k * step, _scored(k * step, usable, integral)) for k in range(-count, count + 1)]
    best = max(score.score for _, score in coarse)
    if best <= 0:
        return _unexplained(usable, integral)
    peaks = _peaks(coarse, AS_GOOD * best, shortest)
    for finer in (0.1 * step, 0.01 * step):
        peaks = [_refined(peak, 10 * finer, finer, usable, integral) for peak in peaks]
    most = max((score.windows for _, score in peaks), default=0)
    if most < FEWEST_WINDOWS:
        return _unexplained(usable, integral)
    top = max(score.score for _, score in peaks if score.windows == most)
    found = [p for p in peaks if p[1].windows == most and p[1].score >= AS_GOOD * top]
    found.sort(key=lambda pair: abs(pair[0]))
    offset, score = found[0]
    if score.rise < FLAT:
        return Offset(0.0, False, 0)
    if score.explained < EXPLAINED:
        return _unexplained(usable, integral)
    if len(found) > 1 and abs(offset) > NEARER * abs(found[1][0]):
        raise Refused(
            f"the meter's clock may be off by {offset:.1f} s or by {found[1][0]:.1f} s: set both "
            "clocks, or say --meter-offset",
            4,
        )
    return Offset(offset, True, score.windows)


def _scored(offset: float, windows: Sequence[dict[str, Any]], integral: _Integral) -> _Score:
    """How well the windows, shifted by ``offset``, explain the power around them."""
    score = total = inside_sum = outside_sum = length_s = 0.0
    covered = 0
    for window in windows:
        flank = window.get("pause_s") or FLANK_S
        begin = window["start"] + offset
        end = begin + window["seconds"]
        if begin < integral.times[0] or end > integral.times[-1]:
            continue
        left = max(begin - flank, integral.times[0])
        inside, _ = integral.between(begin, end)
        whole, squares = integral.between(left, end + flank)
        outside_s = begin - left + flank
        inside_s = end - begin
        inside_w, outside_w = inside / inside_s, (whole - inside) / outside_s
        mean = whole / (inside_s + outside_s)
        spread = max(squares - mean * whole, 0.0)
        between = inside_s * (inside_w - mean) ** 2 + outside_s * (outside_w - mean) ** 2
        sign = 1.0 if inside_w > outside_w else -1.0
        score += sign * between - (spread - between)
        total += spread
        length_s += inside_s + outside_s
        covered += 1
        inside_sum, outside_sum = inside_sum + inside_w, outside_sum + outside_w
    rise = (inside_sum - outside_sum) / inside_sum if inside_sum > 0 else 0.0
    varies = math.sqrt(total / length_s) * covered / inside_sum if inside_sum > 0 else 0.0
    return _Score(score, total, covered, rise, varies)


def _peaks(
    scores: Sequence[tuple[float, _Score]], least: float, apart: float
) -> list[tuple[float, _Score]]:
    """The best of each group of neighbouring offsets that score at least ``least``."""
    peaks: list[tuple[float, _Score]] = []
    for offset, score in scores:
        if score.score < COARSE * least:
            continue
        if peaks and offset - peaks[-1][0] < apart:
            if score.score > peaks[-1][1].score:
                peaks[-1] = (offset, score)
        else:
            peaks.append((offset, score))
    return peaks


def _refined(
    peak: tuple[float, _Score],
    width_s: float,
    step_s: float,
    windows: Sequence[dict[str, Any]],
    integral: _Integral,
) -> tuple[float, _Score]:
    """The best offset near a peak; of several equal ones the middle."""
    count = int(width_s / step_s) + 1
    near = [
        (offset, _scored(offset, windows, integral))
        for offset in (peak[0] + k * step_s for k in range(-count, count + 1))
    ]
    near.append(peak)
    near.sort(key=lambda pair: pair[0])
    top = max(score.score for _, score in near)
    equal = [pair for pair in near if pair[1].score >= top - 1e-9 * abs(top)]
    return equal[len(equal) // 2]


def _unexplained(windows: Sequence[dict[str, Any]], integral: _Integral) -> Offset:
    """No offset explains the readings: refused where that shows, else the clock is unchecked."""
    now = _scored(0.0, windows, integral)
    paused = all(window.get("pause_s") for window in windows)
    against = now.rise < -FLAT or (paused and now.explained < EXPLAINED)
    if now.windows >= FEWEST_WINDOWS and against and now.varies > FLAT:
        raise Refused(
            "the meter's readings do not rise and fall with the networks at any offset: set both "
            "clocks, or say --meter-offset",
            4,
        )
    return Offset(0.0, False, 0)
