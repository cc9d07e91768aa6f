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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flash.targets.components import area_scale, energy_scale

__all__ = ["ADC_MODELS", "Converter", "by_node", "convert"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Converter:
    """One converter: energy of a conversion, area, and time of a conversion."""

    energy_pj: Floats
    area_um2: Floats
    time_ns: Floats


def by_node(scale: Callable[[float, float], float], start_nm: float, nodes_nm: Floats) -> Floats:
    """``scale(start_nm, node)`` for an array of nodes, each different node looked up once."""
    known, where = np.unique(nodes_nm, return_inverse=True)
    values = np.array([scale(start_nm, float(node)) for node in known])
    picked: Floats = values[where.reshape(np.shape(nodes_nm))]
    return picked


def _isaac(bits: Floats, rows: Floats, node_nm: Floats) -> Converter:
    share = bits / 8.0
    like = 0.0 * (rows + node_nm)
    return Converter(2.0 / 1.28 * share + like, 1200.0 * share + like, 1 / 1.28 + 0 * bits + like)


_SURVEY_BITS: Final = (4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
_SURVEY_PJ: Final = (0.739, 0.749, 0.852, 1.050, 1.543, 4.424, 13.135)
_SURVEY_UM2: Final = (5190.0, 5211.0, 5416.0, 5765.0, 6469.0, 8865.0, 12275.0)


def _survey(bits: Floats, rows: Floats, node_nm: Floats) -> Converter:
    relative = node_nm / 32.0
    energy = np.exp(np.interp(bits, _SURVEY_BITS, np.log(_SURVEY_PJ)))
    area = np.exp(np.interp(bits, _SURVEY_BITS, np.log(_SURVEY_UM2)))
    like = 0.0 * rows
    time = 1 / 1.28 + 0.0 * (bits + node_nm)
    return Converter(energy * relative**1.88 + like, area * relative**1.555 + like, time + like)


def _zigzag(bits: Floats, rows: Floats, node_nm: Floats) -> Converter:
    levels, like = 2.0**bits, 0.0 * (rows + node_nm)
    energy_fj = (100.0 * bits + 0.001 * levels**2) * 0.9**2
    area = 10 ** (1.206 - 0.0369 * bits) * levels
    return Converter(energy_fj / 1000 + like, area + like, bits * (0.00653 * rows + 0.640) + like)


def _flash(bits: Floats, rows: Floats, node_nm: Floats) -> Converter:
    comparators, like = (2.0**bits - 1) / 31.0, 0.0 * rows
    energy = 0.10 * comparators * by_node(energy_scale, 32, node_nm)
    area = 801.0 * comparators * by_node(area_scale, 32, node_nm)
    return Converter(energy + like, area + like, 2.05 + 0.0 * (bits + node_nm) + like)


Model = Callable[[Floats, Floats, Floats], Converter]

#: Known models by name.
ADC_MODELS: Final[Mapping[str, Model]] = {
    "flash": _flash,
    "isaac": _isaac,
    "survey": _survey,
    "zigzag": _zigzag,
}


def convert(model: str, bits: Floats, rows: Floats, node_nm: Floats) -> Converter:
    """The converter of ``model``, one of ``ADC_MODELS``, elementwise over the arrays."""
    return ADC_MODELS[model](bits, rows, node_nm)
