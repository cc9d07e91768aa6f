"""Boards with the cores of a known one: what few runs, or the clock alone, say of them.

Boards with the same core differ in clock, memory and the runtime's version, and little in the
proportions of their kernels. So a known board's coefficients are the prior, at any speed and with
small deviations: one run then moves the speed only, three the overhead as well, and more runs move
whatever they contradict.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flash.fitting.prior import PARAMETERS, Prior, pack
from flash.targets.processor.profile import Coefficients

__all__ = ["at_clock", "half_width", "sister_prior"]

Floats = NDArray[np.float64]

#: Deviation of the logarithm of a coefficient, and of the overhead, once the speed is taken out. Of
#: (0.05, 0.3), (0.1, 0.5), (0.2, 0.7) and (0.35, 1) the errors of few runs differ by 1 % point.
_DEVIATION, _OVERHEAD = 0.1, 0.5
#: Deviation of the logarithm of the speed: any board from a tenth to ten times the known one's.
_SPEED = 3.0
#: Runs -> factor that 90 % of a sister's other networks lay within, each way, over boards with
#: Cortex-A53, A57, A72 and A76 (``scripts/validate/sisters.py``).
_WITHIN = {0: 1.75, 1: 1.75, 2: 1.7, 3: 1.6, 5: 1.55}


def sister_prior(known: Coefficients) -> Prior:
    """The prior of a board with the same cores."""
    logs = pack(known)
    deviation = np.full(len(logs), _DEVIATION)
    deviation[PARAMETERS.index("overhead_us")] = _OVERHEAD
    return Prior(np.exp(logs), deviation, (), speed=_SPEED)


def half_width(runs: int) -> float:
    """Half of the 90 % interval, as a logarithm, of predictions from so many runs of a sister."""
    return math.log(_WITHIN[max(count for count in _WITHIN if count <= runs)])


def at_clock(known: Coefficients, factor: float) -> Coefficients:
    """The same board at ``factor`` times the clock.

    Cores compute and launch faster; memory does not change.
    """
    return replace(
        known,
        gmac_s=tuple(x * factor for x in known.gmac_s),
        overhead_us=tuple(x / factor for x in known.overhead_us),
    )
