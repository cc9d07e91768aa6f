"""What drives and holds weights in a crossbar: ISAAC's converters of inputs, and its cells."""

from __future__ import annotations

from typing import Final

from flash.targets.components.base import PublishedPart

__all__ = ["CROSSBAR_ISAAC", "DAC_ISAAC"]

#: Node, cycle and source of ISAAC's table of areas and powers.
_NODE_NM: Final = 32.0
_CYCLE_NS: Final = 100.0

#: Drives one word line for one cycle.
DAC_ISAAC: Final = PublishedPart(
    "dac",
    1024,
    4.0,
    0.00017,
    "ISAAC: 8 x 128 one-bit DACs of an IMA (hwcomponents' library has 0.417 pJ a drive)",
    _NODE_NM,
    _CYCLE_NS,
)
#: One cell of a resistive array. Its current flows as long as it is read, so a chip that reads
#: faster than ISAAC's cycle pays for that long only (``imc`` profiles: ``array_read_ns``).
CROSSBAR_ISAAC: Final = PublishedPart(
    "crossbar",
    131072,
    2.4,
    0.0002,
    "ISAAC: 8 arrays of 128 x 128 cells",
    _NODE_NM,
    _CYCLE_NS,
    scales=False,
    leaks=False,
)
