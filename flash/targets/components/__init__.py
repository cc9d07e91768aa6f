"""What accelerators are made of: SRAM, DRAM, multipliers, registers, converters, cells, routers.

A ``Component`` is one part at one technology node: what each of its actions costs in energy, its
area, its leakage, and where every figure comes from. Models that make one (from a size, a width,
a node) are members of the registry ``COMPONENTS`` under ``part.model``: ``sram.cacti7``,
``mac.aladdin``, ``adc.isaac``. A profile names the model it means, and a package adds its own in
the entry-point group ``flash.components``; most are a few published figures in a dataclass.

>>> mac = component("mac", "aladdin", node_nm=45, bits=8)
>>> round(float(mac.energy_pj["mac"]), 2), round(float(mac.area_mm2) * 1e6)
(1.03, 783)

All built-in figures are of published models, none of them of a chip measured by us.
"""

from flash.targets.components.base import (
    COMPONENTS,
    Component,
    ComponentModel,
    PublishedPart,
    component,
    component_model,
    models_of,
)
from flash.targets.components.technology import (
    LEAKAGE_MW_PER_MM2,
    NODES_NM,
    area_scale,
    by_node,
    energy_scale,
)

__all__ = [
    "COMPONENTS",
    "LEAKAGE_MW_PER_MM2",
    "NODES_NM",
    "Component",
    "ComponentModel",
    "PublishedPart",
    "area_scale",
    "by_node",
    "component",
    "component_model",
    "energy_scale",
    "models_of",
]
