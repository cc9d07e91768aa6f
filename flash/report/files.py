"""The files of a search: its front as JSON, CSV and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flash.files.results import refuse_others_files
from flash.files.writing import write_folder
from flash.report.chip import ChipView, chip_svg
from flash.report.chip_sheet import chip_html
from flash.report.picture import front_svg
from flash.report.result import SearchReport
from flash.report.runs import MANIFEST, Run, read_run, remove_stale, run_text

__all__ = ["NAMES", "write_files"]

#: The files of every search whose command is known.
NAMES = ("front.json", "front.csv", "front.svg", MANIFEST)


def write_files(
    report: SearchReport,
    folder: str | Path,
    background: Sequence[tuple[float, float]] = (),
    chip: ChipView | None = None,
    *,
    more: Mapping[str, str] | None = None,
    run: Run | None = None,
    new: bool = False,
) -> tuple[Path, ...]:
    """Write ``front.json``, ``front.csv`` and ``front.svg``; of a chip ``chip.svg``, ``chip.html``.

    Makes the folder if need be.

    background: (latency_ms, score) of designs to draw faintly behind the front.
    more:       further files, name -> text.
    run:        what made the report; then ``run.json`` says so, and what an earlier run wrote into
                the folder and this one does not goes.
    new:        the folder is the run's own; see ``write_folder``.

    Returns the files' paths. Raises ``UsageError`` for a folder that cannot be written or holds
    another's file of these names, and ``FlashError`` for a disk that cannot take them, one line
    each; nothing new is left then.
    """
    contents: dict[str, str | bytes] = {
        "front.json": report.to_json(),
        "front.csv": report.to_csv(),
        "front.svg": front_svg(report, background),
    }
    if chip is not None:
        contents |= {"chip.svg": chip_svg(chip), "chip.html": chip_html(chip)}
    contents |= more or {}
    if not new:
        refuse_others_files(folder, contents)
    if run is None:
        return write_folder(folder, contents, new)
    contents[MANIFEST] = run_text(run, contents)
    before = read_run(Path(folder))
    written = write_folder(folder, contents, new)
    if not new:
        remove_stale(Path(folder), before, contents)
    return written
