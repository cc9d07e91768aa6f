"""What is odd about measurements, told beside the profile that is fitted to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flash.fitting.learning import Learned, latency_by
from flash.fitting.sisters import FEW_RUNS
from flash.measurements.reading import FEWEST_NETWORKS, Measurements
from flash.measurements.records import MOST_BAD
from flash.spaces.stage_tables import Floats
from flash.targets.processor.profile import Runtime

__all__ = ["better_alone", "contradiction", "doubts_about", "of_one_unit"]

#: Networks this many times apart in multiply-accumulates take different times.
_UNLIKE = 2.0
#: A latency is named that is so many times what is expected, or less than that part of it, ...
_ODD = 3.0
#: ... and so many standard deviations of the others away, ...
_APART = 8.0
#: ... a median absolute deviation, of a normal distribution, being this part of one.
_MAD = 1.4826
#: Latencies named so.
_MOST_NAMED = 5
#: A fit without the prior is named where its held-out error is less than this part.
_BETTER = 2 / 3
#: So many times what is expected a latency looks like one of another unit.
_DOUBTED = 20.0
#: Seconds for milliseconds, or microseconds, by so much a latency is off, ...
_UNIT = 1000.0
#: ... within a factor that no prediction of the other networks is off by.
_WITHIN = 3.0


def of_one_unit(file: Measurements, predicted: Floats) -> Measurements:
    """The file without latencies that are another unit's, which are problems of it then.

    The same file where there are none, or more than the bad lines that are left out of a file.
    """
    ratio = file.latency_ms / predicted
    ratio /= np.median(ratio)
    off = np.abs(np.abs(np.log(ratio)) - np.log(_UNIT)) < np.log(_WITHIN)
    kept = tuple(row for row, bad in zip(file.rows, off, strict=True) if not bad)
    few = len(kept) < FEWEST_NETWORKS or off.sum() > MOST_BAD * len(file.rows)
    if not off.any() or few:
        return file
    problems = [
        f"{file.path}:{file.rows[k].line}: {file.rows[k].name} took {_times(ratio[k])} what the "
        f"other networks let expect: is it in {'micro' * bool(ratio[k] > 1)}seconds?"
        for k in np.flatnonzero(off).tolist()
    ]
    return replace(file, rows=kept, problems=(*file.problems, *problems))


def doubts_about(file: Measurements, predicted: Floats, sister: Runtime | None) -> list[str]:
    """Latencies that look like another unit's, for people.

    Those that the rest of the file does not explain, and all of them where a device with the same
    cores is so much faster or slower.
    """
    ratio = file.latency_ms / predicted
    ratio /= np.median(ratio)
    far = np.abs(np.log(ratio))
    odd = far > min(max(_APART * _MAD * float(np.median(far)), np.log(_ODD)), np.log(_DOUBTED))
    doubts = [
        f"{file.path}, line {file.rows[k].line}: {file.rows[k].name} took {_times(ratio[k])} what "
        "the other networks let expect: is it in the same unit, and was the device busy?"
        for k in sorted(np.flatnonzero(odd).tolist(), key=lambda k: -far[k])[:_MOST_NAMED]
    ]
    if more := int(odd.sum()) - len(doubts):
        doubts.append(f"{file.path}: {more} further networks lie as far from the others")
    macs = [row.network.macs for row in file.rows]
    if len(macs) > 1 and np.ptp(file.latency_ms) == 0 and max(macs) >= _UNLIKE * min(macs):
        doubts.append(
            f"{file.path}: all {len(macs)} latencies are {file.latency_ms[0]:g} ms, of networks "
            f"of {min(macs):,} to {max(macs):,} multiply-accumulates: is it the right column?"
        )
    if sister is not None:
        there_ms = latency_by(sister.variants, [row.network for row in file.rows])
        there = float(np.median(file.latency_ms / there_ms))
        if not 1 / _DOUBTED < there < _DOUBTED:
            doubts.append(
                f"{file.path}: its networks took {_times(there)} what they take on the device of "
                "--prior: are they in milliseconds?"
            )
    return doubts


def _times(factor: float) -> str:
    return f"{factor:.3g} times" if factor >= 1 else f"1/{1 / factor:.3g} of"


def contradiction(file: Measurements, found: Learned, prior: str) -> list[str]:
    """What is said where few runs lie outside what the profile ``prior`` lets expect."""
    if not found.contradicted:
        return []
    return [
        f"{file.path}: the runs contradict the prior: {found.contradicted} of "
        f"{len(file.rows)} lie outside what {prior} and the other runs let expect, and the "
        f"interval is widened to hold them; is it a board with the same cores? {FEW_RUNS} "
        "runs or more fit a board of its own"
    ]


def better_alone(file: Measurements, found: Learned, alone: Learned, prior: str) -> list[str]:
    """What is said where a fit without ``prior`` predicts networks left out much better."""
    with_it, without = (x.figures["median_error_percent"] for x in (found, alone))
    if without >= _BETTER * with_it:
        return []
    return [
        f"{file.path}: with --prior {prior} the held-out median error is {with_it:.3g} %, without "
        f"it {without:.3g} %: fit without it, unless {prior} has the same cores"
    ]
