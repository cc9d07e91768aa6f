"""In-memory computing: crossbar tiles on a mesh network on chip, FLASH's own target.

``load_imc`` reads a chip family from ``hw_profiles/``; ``imc_costs`` gives latency, energy
and area of networks on it, with the interval that the converters' disagreement leaves;
``breakdown`` says where they come from.
"""

from flash.targets.imc.breakdown import Breakdown, breakdown
from flash.targets.imc.converters import ADC_MODELS
from flash.targets.imc.model import imc_costs
from flash.targets.imc.parts import tile_parts
from flash.targets.imc.profile import ImcHardware, load_imc

__all__ = [
    "ADC_MODELS",
    "Breakdown",
    "ImcHardware",
    "breakdown",
    "imc_costs",
    "load_imc",
    "tile_parts",
]
