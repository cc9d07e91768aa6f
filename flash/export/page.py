"""The front of a report as an HTML page: ``flash export front.json --format html``."""

from __future__ import annotations

import re
from pathlib import Path

from flash.errors import UsageError
from flash.explorer import Source, explorer_html, search_words
from flash.files.reading import read_input
from flash.files.results import refuse_others_files
from flash.files.writing import write_folder
from flash.report import SearchReport, read_search
from flash.report.runs import command_of
from flash.spaces.space import load_space

__all__ = ["HTML", "export_page"]

#: The word for it among the formats.
HTML = "html"


def export_page(
    report: str | Path,
    out: str | Path = "build",
    *,
    space: str | None = None,
    target: str | None = None,
    seed: int = 0,
) -> Path:
    """Write the page that ``flash search --html`` writes, of a search that is done.

    report: ``front.json``; "-" reads standard input.
    out:    the folder; the file is ``<space>-<target>.html``.
    space, target: files of those that do not come with flash.
    seed:   of the random designs in the picture.

    Returns the file's path. Raises ``InputError`` for a report that is damaged or does not fit
    the space, ``UsageError`` for a space or target that is not known.
    """
    name = "standard input" if str(report) == "-" else str(report)
    found = read_search(read_input(report), name)
    # With hardware searched the name is that of the networks and of the chips.
    networks = space or found.space.name.partition(" x ")[0]
    try:
        load_space(networks)
    except UsageError as error:
        if space:
            raise
        raise UsageError(
            f"{name} is of space '{networks}', which does not come with flash: give its file "
            f"with --space ({error})"
        ) from None
    runtime = found.target.get("runtime")
    source = Source(
        space=networks,
        target=target or str(found.target["name"]),
        runtime=runtime if isinstance(runtime, str) and target is None else None,
        seed=seed,
        command=_command(Path(report), found, target, networks),
    )
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{found.space.name}-{found.target['name']}")
    stem = words.strip(".-") or "front"
    refuse_others_files(out, [f"{stem}.html"])
    return write_folder(out, {f"{stem}.html": explorer_html(found, source)})[0]


def _command(report: Path, found: SearchReport, target: str | None, space: str) -> list[str]:
    """The search that ``run.json`` beside the report tells of; empty where there is none."""
    words = command_of(report.parent)
    if words[:2] != ["flash", "search"]:
        return []
    return search_words(words[2:], target or str(found.target["name"]), space)
