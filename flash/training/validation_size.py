"""How many images to set aside for validation, and what they can tell apart.

With ``n`` candidates judged on ``v`` images, all of their measured accuracies lie within

    eps = sqrt(ln(2 n / delta) / (2 v))

of the true ones with probability 1 - delta (Hoeffding's inequality for each, a union bound over
them). Oymak et al. (ICML 2021, arXiv:2104.14132) show that for over-parameterised networks the
number of images must exceed the number of choices made by them, up to logarithms, and not that
of the weights. The bound is for the worst case: the standard error of an accuracy ``p`` is
sqrt(p (1 - p) / v), some four times less.
"""

from __future__ import annotations

import math

from flash.errors import UsageError

__all__ = ["resolution_points", "standard_error_points", "suggest_split"]

#: Probability that some candidate's accuracy is further off than the bound says.
_DELTA = 0.1


def resolution_points(images: int, candidates: int, delta: float = _DELTA) -> float:
    """Bound on the error of every candidate's measured accuracy, in per cent points.

    >>> round(resolution_points(1000, 25), 1)
    5.6
    """
    _check(images, candidates, delta)
    return 100.0 * math.sqrt(math.log(2 * candidates / delta) / (2 * images))


def standard_error_points(images: int, accuracy: float) -> float:
    """Standard error of an accuracy (per cent) counted on so many images, in points.

    >>> round(standard_error_points(1000, 60.0), 1)
    1.5
    """
    share = min(max(accuracy / 100.0, 0.0), 1.0)
    return 100.0 * math.sqrt(share * (1 - share) / images)


def suggest_split(candidates: int, error_points: float, delta: float = _DELTA) -> int:
    """Images to set aside, so that ``resolution_points`` is at most ``error_points``.

    >>> suggest_split(25, 5.6)
    991
    """
    if not error_points > 0:
        raise UsageError(f"expected an error of more than 0 points, got {error_points:g}")
    _check(1, candidates, delta)
    return math.ceil(math.log(2 * candidates / delta) / (2 * (error_points / 100.0) ** 2))


def _check(images: int, candidates: int, delta: float) -> None:
    if images < 1 or candidates < 1 or not 0 < delta < 1:
        raise UsageError(
            f"expected images and candidates of 1 or more and a probability between 0 and 1, got "
            f"{images}, {candidates} and {delta:g}"
        )
