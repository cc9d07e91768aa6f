"""What drives and holds weights in a crossbar: ISAAC's converters of inputs, and its cells."""

from __future__ import annotations

from typing import Final

from flash.targets.components.base import PublishedPart

__all__ = [
    "CROSSBAR_ISAAC",
    "CROSSBAR_NEUROSIM",
    "DAC_ISAAC",
    "DAC_NEUROSIM",
    "MUX_NEUROSIM",
    "SHIFT_ADD_NEUROSIM",
]

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

# DNN+NeuroSim's own parts at 32 nm, by hwcomponents-neurosim 1.0.43 (128 x 128 resistive cells, 16
# columns converted at a time), run for this project.
_NEUROSIM: Final = "DNN+NeuroSim at 32 nm, by hwcomponents-neurosim 1.0.43"

#: Drives one word line: its share of 418 um2 of row drivers; energy C V^2 (ours) of a line of 128
#: transistor-and-resistor cells, 16 fF at 1.1 V.
DAC_NEUROSIM: Final = PublishedPart(
    "dac", 128, 0.0, 418e-6, f"{_NEUROSIM}; energy C V^2, ours", _NODE_NM, _CYCLE_NS, energy_pj=0.02
)
#: What a column has besides its converter: decoder and multiplexer, without energy of their own.
MUX_NEUROSIM: Final = PublishedPart(
    "column", 128, 0.0, 573e-6, _NEUROSIM, _NODE_NM, _CYCLE_NS, energy_pj=0.0
)
#: A 16-bit shift-and-add for every eight columns: 131 fJ, half of its registers switching
#: (Param.cpp of V1.3, gamma).
SHIFT_ADD_NEUROSIM: Final = PublishedPart(
    "shift_add", 8, 0.0, 86e-6, _NEUROSIM, _NODE_NM, _CYCLE_NS, energy_pj=0.131 / 2
)
#: A cell of one transistor and one resistor, 4 x 12 feature sizes (Param.cpp of V1.3); its current
#: is ISAAC's, as its resistance is no option of ours.
CROSSBAR_NEUROSIM: Final = PublishedPart(
    "crossbar",
    131072,
    2.4,
    131072 * 48 * 0.032**2 * 1e-6,
    "DNN+NeuroSim V1.3: 4 x 12 F2 a cell; current of ISAAC's",
    _NODE_NM,
    _CYCLE_NS,
    leaks=False,
)
