"""What a component is, the registry of models that make one, and published parts as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flash.errors import UsageError, did_you_mean
from flash.plugins import Registry
from flash.targets.components.technology import (
    LEAKAGE_MW_PER_MM2,
    area_scale,
    by_node,
    energy_scale,
)

__all__ = [
    "COMPONENTS",
    "Component",
    "ComponentModel",
    "PublishedPart",
    "component",
    "component_model",
    "models_of",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Component:
    """One part at one technology node: numbers, or arrays over sizes and nodes that broadcast.

    energy_pj:  action -> energy of doing it once (a MAC, reading or writing a bit, a conversion).
    area_mm2:   of one.
    leakage_mw: of one at rest; 0 where it has none, or where the actions' energies hold it.
    time_ns:    action -> time of doing it once, for what sets a pace of its own; else the clock
                of the chip does.
    busy_mw:    power of one that never pauses, where tables of chips state that.
    sources:    an action, "area", "leakage" or "time" -> where the figure comes from.
    """

    name: str
    node_nm: ArrayLike
    energy_pj: Mapping[str, Floats]
    area_mm2: Floats
    leakage_mw: Floats
    sources: Mapping[str, str]
    time_ns: Mapping[str, Floats] = field(default_factory=dict)
    busy_mw: Floats | None = None


#: What makes a component: called with the node (nm, 7 to 65; arrays where the model says so) and,
#: by name, with what else decides its figures (``kib``, ``bits``, ``rows``, ``width_bits``).
#: Accepts attributes it has no use for: a chip hands every model of a part the same.
ComponentModel = Callable[..., Component]

_HERE: Final = "flash.targets.components"

#: Every model by ``part.model``.
COMPONENTS: Final = Registry[ComponentModel](
    "flash.components",
    "component",
    {
        "sram.cacti7": f"{_HERE}.memories:SRAM_CACTI7",
        "dram.DDR3": f"{_HERE}.memories:DDR3",
        "dram.LPDDR": f"{_HERE}.memories:LPDDR",
        "dram.LPDDR4": f"{_HERE}.memories:LPDDR4",
        "dram.HBM2": f"{_HERE}.memories:HBM2",
        "dram.HBM3": f"{_HERE}.memories:HBM3",
        "mac.aladdin": f"{_HERE}.logic:MAC_ALADDIN",
        "mac.horowitz": f"{_HERE}.logic:MAC_HOROWITZ",
        "register.aladdin": f"{_HERE}.logic:REGISTER_ALADDIN",
        "adc.flash": f"{_HERE}.converters:adc_flash",
        "adc.isaac": f"{_HERE}.converters:ADC_ISAAC",
        "adc.survey": f"{_HERE}.converters:ADC_SURVEY",
        "adc.zigzag": f"{_HERE}.converters:adc_zigzag",
        "dac.isaac": f"{_HERE}.crossbars:DAC_ISAAC",
        "crossbar.isaac": f"{_HERE}.crossbars:CROSSBAR_ISAAC",
        "dac.neurosim": f"{_HERE}.crossbars:DAC_NEUROSIM",
        "crossbar.neurosim": f"{_HERE}.crossbars:CROSSBAR_NEUROSIM",
        "column.neurosim": f"{_HERE}.crossbars:MUX_NEUROSIM",
        "shift_add.neurosim": f"{_HERE}.crossbars:SHIFT_ADD_NEUROSIM",
        "router.booksim": f"{_HERE}.routers:ROUTER_BOOKSIM",
        "router.isaac": f"{_HERE}.routers:ROUTER_ISAAC",
    },
)


def component_model(part: str, model: str) -> ComponentModel:
    """The model of ``part`` (``mac``) called ``model`` (``aladdin``).

    Raises ``UsageError`` for an unknown one, with the closest.
    """
    name = f"{part}.{model}"
    if name not in COMPONENTS:
        raise UsageError(f"unknown {part} model '{model}'{did_you_mean(model, models_of(part))}")
    return COMPONENTS[name]


def component(part: str, model: str, node_nm: ArrayLike, **attributes: Any) -> Component:
    """A component of the library; raises ``UsageError`` for an unknown model or node."""
    return component_model(part, model)(node_nm, **attributes)


def models_of(part: str) -> tuple[str, ...]:
    """The models of a part, those of other packages included."""
    names = (name.partition(".") for name in COMPONENTS)
    return tuple(model for own, _, model in names if own == part)


@dataclass(frozen=True)
class PublishedPart:
    """Figures of a part as tables of chips give them: hardware as data.

    ``count`` units together take ``area_mm2`` and, always busy, ``power_mw`` at ``reference_nm``.
    energy_pj: of one use of one unit; below 0 where it follows from the power: one cycle of it.
    cycle_ns:  how long a use draws that power.
    scales:    whether area and energy follow logic to other nodes.
    leaks:     false for cells, wires and capacitors.
    """

    name: str
    count: float
    power_mw: float
    area_mm2: float
    source: str
    reference_nm: float
    cycle_ns: float
    energy_pj: float = -1.0
    scales: bool = True
    leaks: bool = True

    def __call__(
        self,
        node_nm: ArrayLike,
        *,
        cycle_ns: float | None = None,
        leakage_mw_per_mm2: float = LEAKAGE_MW_PER_MM2,
        **attributes: Any,
    ) -> Component:
        """One unit, in the shape of ``node_nm``; action "use".

        cycle_ns: where a chip's cycle is another. leakage_mw_per_mm2: of the chip's logic.
        """
        energy = self.energy_pj
        if energy < 0:
            duration = self.cycle_ns if cycle_ns is None else cycle_ns
            energy = self.power_mw * duration / self.count
        thrift = self._scale(energy_scale, node_nm)
        area = self.area_mm2 / self.count * self._scale(area_scale, node_nm)
        return Component(
            self.name,
            node_nm,
            {"use": energy * thrift},
            area,
            (leakage_mw_per_mm2 if self.leaks else 0.0) * area,
            dict.fromkeys(("use", "area"), self.source),
            busy_mw=self.power_mw / self.count * thrift,
        )

    def _scale(self, scale: Callable[[float, float], float], node_nm: ArrayLike) -> Floats:
        if not self.scales:
            return np.ones(np.shape(node_nm))
        return by_node(scale, self.reference_nm, node_nm)
