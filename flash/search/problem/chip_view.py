"""What there is to draw of the chip that a design runs on."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from flash.report.chip import ChipView
from flash.spaces.network import Network
from flash.targets import Target

__all__ = ["chip_view"]

#: Characters a line below the title.
_WIDTH = 110


def chip_view(target: Target, network: Network, title: str, description: str) -> ChipView | None:
    """The chip with one network; None where there is no chip to draw, on a board one buys."""
    if not target.chip:
        return None
    hardware: Mapping[str, object] = target.summary().get("hardware", target.chip)
    words = ", ".join(f"{name} {value}" for name, value in hardware.items())
    lines = [description, *textwrap.wrap(words, _WIDTH)]
    return ChipView(f"{title}, target {target.name}", lines, target.breakdown(network))
