"""Targets: what networks are priced on, whatever kind of hardware, behind one interface.

Each kind is a room (``processor``, ``systolic``, ``imc``) that nobody imports by name:
``load_target`` and ``load_hardware`` find it by the schema of the profile (``KINDS``).
"""

from flash.targets.base import (
    ChannelBlocks,
    Costs,
    RunsFormats,
    RunsGraphs,
    Target,
    Triple,
    bits_of,
    drawn_chip,
)
from flash.targets.breakdown import Block, Breakdown, Drawing, LayerCost
from flash.targets.chips import ChipGrid, Given, parse_hardware
from flash.targets.kinds import KINDS, ChipFamily, ChipsOfFormats, Hardware, TargetKind
from flash.targets.loading import load_hardware, load_target

__all__ = [
    "KINDS",
    "Block",
    "Breakdown",
    "ChannelBlocks",
    "ChipFamily",
    "ChipGrid",
    "ChipsOfFormats",
    "Costs",
    "Drawing",
    "Given",
    "Hardware",
    "LayerCost",
    "RunsFormats",
    "RunsGraphs",
    "Target",
    "TargetKind",
    "Triple",
    "bits_of",
    "drawn_chip",
    "load_hardware",
    "load_target",
    "parse_hardware",
]
