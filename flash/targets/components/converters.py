"""Analog-to-digital converters: four published models that disagree by factors.

A crossbar is little more than its converters (three quarters of ISAAC's area and two thirds
of its energy), and no two models of them agree: at 8 bits and 32 nm the energies below span
0.7 to 1.6 pJ and the areas 1,200 to 6,590 um2, at 4 bits 0.05 to 0.78 pJ. So there is no best
model here; results carry the lowest and the highest as an interval.

isaac:   the SAR converter of ISAAC (Kull et al., ISSCC 2013, through ISCA 2016): 2 mW and
         1200 um2 at 8 bits and 1.28 GS/s (128 columns in 100 ns). Proportional to bits, one
         comparison each, as PUMA's constants are; not scaled with the node.
survey:  regression on Murmann's survey of published converters at 1.28 GS/s: the values of
         the hwcomponents-adc package 1.0.21, run for this project; its dependence on the node is
         a power law (energy 1.88, area 1.555; exact within 1 % from 16 to 65 nm).
zigzag:  ZigZag-IMC (KU Leuven): (100 fF b + 0.001 fF 4^b) V^2, 10^(1.206 - 0.0369 b) 2^b um2,
         b (0.00653 rows + 0.640) ns, fitted to 28 nm chips at 0.9 V; not scaled with the node.
flash:   the multi-level sense amplifier of DNN+NeuroSim: 0.10 pJ and 801 um2 at 5 bits and
         32 nm, one comparator a level (hence (2^b - 1)/31), scaled like logic. 2.05 ns is the
         clock NeuroSim derives from its sensing delay (manual of V1.3, Fig. 24).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flash.targets.components.base import Component
from flash.targets.components.technology import area_scale, by_node, energy_scale

__all__ = [
    "ADC_ISAAC",
    "ADC_SURVEY",
    "SurveyedConverter",
    "SuccessiveApproximation",
    "adc_flash",
    "adc_zigzag",
]

Floats = NDArray[np.float64]


def _converter(
    energy_pj: ArrayLike,
    area_um2: ArrayLike,
    time_ns: ArrayLike,
    at: tuple[ArrayLike, ...],
    source: str,
) -> Component:
    """A converter in the shape of ``at``: bits, rows, nodes. Standby is part of its energy."""
    shape = np.broadcast_shapes(*map(np.shape, at))
    energy, area, time = (
        np.broadcast_to(np.asarray(x, dtype=np.float64), shape)
        for x in (energy_pj, area_um2, time_ns)
    )
    sources = dict.fromkeys(("convert", "area", "time"), source)
    none = np.zeros(shape)
    return Component(
        "adc", at[-1], {"convert": energy}, area * 1e-6, none, sources, {"convert": time}
    )


@dataclass(frozen=True)
class SuccessiveApproximation:
    """A converter that compares once a bit: proportional to its bits, not scaled with the node.

    pj, um2: at ``reference_bits``.
    """

    reference_bits: float
    pj: float
    um2: float
    gs_per_s: float
    source: str

    def __call__(
        self, node_nm: ArrayLike, *, bits: ArrayLike, rows: ArrayLike, **attributes: Any
    ) -> Component:
        """Action "convert"; arrays of bits, rows and nodes broadcast."""
        share = np.asarray(bits) / self.reference_bits
        at = (bits, rows, node_nm)
        return _converter(self.pj * share, self.um2 * share, 1 / self.gs_per_s, at, self.source)


ADC_ISAAC: Final = SuccessiveApproximation(
    8.0, 2.0 / 1.28, 1200.0, 1.28, "ISAAC (ISCA 2016), Kull et al. (ISSCC 2013)"
)


@dataclass(frozen=True)
class SurveyedConverter:
    """A regression on published converters: a table over bits, a power law over nodes."""

    bits: tuple[float, ...]
    pj: tuple[float, ...]
    um2: tuple[float, ...]
    reference_nm: float
    energy_power: float
    area_power: float
    gs_per_s: float
    source: str

    def __call__(
        self, node_nm: ArrayLike, *, bits: ArrayLike, rows: ArrayLike, **attributes: Any
    ) -> Component:
        """Action "convert"; arrays of bits, rows and nodes broadcast."""
        relative = np.asarray(node_nm, dtype=np.float64) / self.reference_nm
        asked = np.asarray(bits, dtype=np.float64)
        energy = np.exp(np.interp(asked, self.bits, np.log(self.pj))) * relative**self.energy_power
        area = np.exp(np.interp(asked, self.bits, np.log(self.um2))) * relative**self.area_power
        return _converter(energy, area, 1 / self.gs_per_s, (bits, rows, node_nm), self.source)


ADC_SURVEY: Final = SurveyedConverter(
    (4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0),
    (0.739, 0.749, 0.852, 1.050, 1.543, 4.424, 13.135),
    (5190.0, 5211.0, 5416.0, 5765.0, 6469.0, 8865.0, 12275.0),
    32.0,
    1.88,
    1.555,
    1.28,
    "Murmann's survey at 1.28 GS/s, by hwcomponents-adc 1.0.21",
)


def adc_zigzag(
    node_nm: ArrayLike, *, bits: ArrayLike, rows: ArrayLike, **attributes: Any
) -> Component:
    """The converter of ZigZag-IMC; action "convert"; arrays of bits, rows and nodes broadcast."""
    width, lines = np.asarray(bits, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    levels = 2.0**width
    energy_fj = (100.0 * width + 0.001 * levels**2) * 0.9**2
    area = 10 ** (1.206 - 0.0369 * width) * levels
    time = width * (0.00653 * lines + 0.640)
    return _converter(
        energy_fj / 1000, area, time, (bits, rows, node_nm), "ZigZag-IMC, fitted at 28 nm, 0.9 V"
    )


def adc_flash(
    node_nm: ArrayLike, *, bits: ArrayLike, rows: ArrayLike, **attributes: Any
) -> Component:
    """NeuroSim's sense amplifier with one comparator a level; action "convert"; arrays broadcast.

    (A converter that compares with all levels at once is called a flash converter.)
    """
    comparators = (2.0 ** np.asarray(bits, dtype=np.float64) - 1) / 31.0
    energy = 0.10 * comparators * by_node(energy_scale, 32, node_nm)
    area = 801.0 * comparators * by_node(area_scale, 32, node_nm)
    return _converter(energy, area, 2.05, (bits, rows, node_nm), "DNN+NeuroSim, manual of V1.3")
