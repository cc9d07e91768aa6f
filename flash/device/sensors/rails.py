"""Supply rails of a board: which of them add up to what the board uses."""

from __future__ import annotations

import re
from typing import Sequence

#: Rails that feed all others of a module: Jetson TX1, TX2, Xavier NX, Orin Nano and NX
#: (``VDD_IN``), Nano (``POM_5V_IN``). Others with IN in their names (``VIN_SYS_5V0`` of AGX Orin,
#: ``VDD_M2_IN``) feed one part.
INPUT_RAIL = re.compile(r"(?:VDD|POM_\dV|\dV)_IN$", re.IGNORECASE)


def supply_rails(names: Sequence[str]) -> list[str]:
    """The rails to add: the input that feeds all others where there is one, else all.

    Rails without an input among them are taken to be disjoint, as those of AGX Xavier are.
    Where one feeds another, their sum counts its power twice: the sensor's name says what was
    added.
    """
    inputs = [name for name in names if INPUT_RAIL.match(name)]
    return inputs or list(names)
