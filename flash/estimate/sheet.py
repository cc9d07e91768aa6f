"""The sheet of a chip with one network on it, as a file: ``flash estimate --sheet FILE``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flash.errors import UsageError
from flash.estimate.table import Row, latency_cell
from flash.files.results import put_result
from flash.quantities import quantity

if TYPE_CHECKING:
    from flash.spaces.network import Network
    from flash.targets import Target

__all__ = ["check_sheet", "write_sheet"]

#: Endings of the page and of the picture alone.
_ENDINGS: Final = (".html", ".svg")


def check_sheet(path: str | Path, targets: Sequence[Target], count: int) -> None:
    """Raise ``UsageError`` for what no sheet can be made of.

    targets: that networks are priced on. count: of the networks.
    """
    if Path(path).suffix not in _ENDINGS:
        raise UsageError(f"--sheet {path}: expected a name that ends in .html or .svg")
    if len(targets) != 1 or count != 1:
        found = f"{count} of networks and {len(targets)} of --target"
        raise UsageError(f"--sheet shows one network on one accelerator, got {found}")
    if not targets[0].chip:
        raise UsageError(
            f"--sheet: target {targets[0].name} is a board one buys; a sheet is of an accelerator, "
            "e.g. --target systolic"
        )


def write_sheet(path: str | Path, row: Row, network: Network, target: Target) -> None:
    """Write the page, or the picture alone where the name ends in ``.svg``.

    row: of the network on the target, for its costs with their intervals.

    Raises ``UsageError`` for a file that cannot be written.
    """
    from flash.report.chip import ChipView, chip_svg  # noqa: PLC0415 (only where it is asked for)
    from flash.report.chip_sheet import chip_html  # noqa: PLC0415
    from flash.targets import drawn_chip  # noqa: PLC0415

    costs = f"latency {latency_cell(row)}, energy {_cell(row, 'energy_mj')}"
    if not target.chip:
        raise UsageError(f"--sheet: target {target.name} is no accelerator")
    title = f"{row['design']}, target {target.name}"
    lines = [f"{costs}, area {_cell(row, 'area_mm2')}"]
    view = ChipView(title, lines, *drawn_chip(target, network))
    put_result(path, chip_svg(view) if Path(path).suffix == ".svg" else chip_html(view))


def _cell(row: Row, name: str) -> str:
    """Value, low and high."""
    of = quantity(name)
    value, low, high = (of.format(row[column]) for column in of.columns)
    return f"{value} ({low} to {high})"
