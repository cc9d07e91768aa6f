"""Targets: what networks are priced on, whatever kind of hardware, behind one interface."""

from flash.targets.base import Costs, Target, Triple
from flash.targets.chips import Given, parse_hardware
from flash.targets.imc.target import ImcTarget
from flash.targets.loading import as_target, fixed_chip, given_chip, load_hardware, load_target
from flash.targets.processor.target import ProcessorTarget
from flash.targets.systolic.target import SystolicTarget

__all__ = [
    "Costs",
    "Given",
    "ImcTarget",
    "ProcessorTarget",
    "SystolicTarget",
    "Target",
    "Triple",
    "as_target",
    "fixed_chip",
    "given_chip",
    "load_hardware",
    "load_target",
    "parse_hardware",
]
