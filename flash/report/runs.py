"""Results that stay: every run in a folder of its own, with ``run.json``, what made it.

``flash-out/2026-11-29T09.05.10-rpi3b-cifar10-concat`` holds one run, ``flash-out/latest`` is a link
to the last one. The manifest (schema ``flash.run/1``) has the command, versions, the seed, and the
SHA-256 of what was read and of what was written.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flash import __version__
from flash.errors import InputError
from flash.extras import installed_version
from flash.files.reading import read_json
from flash.files.writing import point_link

__all__ = [
    "MANIFEST",
    "Run",
    "command_of",
    "dated_folder",
    "point_latest",
    "read_run",
    "remove_stale",
    "run_text",
]

#: The manifest's file, and its schema.
MANIFEST, SCHEMA = "run.json", "flash.run/1"
#: The link to the last run.
LATEST = "latest"
#: Libraries that decide numbers.
_LIBRARIES = ("numpy", "scipy", "moocore")
#: Characters of a name in a folder's name.
_LONGEST = 40


@dataclass(frozen=True)
class Run:
    """What made a result.

    command: its words. inputs: what was read, by what it is ("target", "space") -> its file.
    began:   when, with its time zone.
    """

    command: Sequence[str]
    seed: int
    inputs: Mapping[str, Path]
    began: datetime.datetime


def run_text(run: Run, contents: Mapping[str, str | bytes]) -> str:
    """The manifest of a run that writes these files (name -> content)."""
    document = {
        "schema": SCHEMA,
        "command": list(run.command),
        "flash": __version__,
        "python": platform.python_version(),
        "libraries": {name: installed_version(name) for name in _LIBRARIES},
        "machine": platform.machine(),
        "began": run.began.isoformat(timespec="seconds"),
        "seconds": round(max(time.time() - run.began.timestamp(), 0.0), 3),
        "seed": run.seed,
        "inputs": {
            what: {"file": path.name, "sha256": _digest(path.read_bytes())}
            for what, path in run.inputs.items()
        },
        "files": {
            name: _digest(content.encode() if isinstance(content, str) else content)
            for name, content in contents.items()
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def dated_folder(parent: Path, names: Sequence[str], began: datetime.datetime) -> Path:
    """What a run's folder below ``parent`` is called: its date, then ``names``."""
    words = [re.sub(r"[^A-Za-z0-9._]+", "-", name).strip(".-")[:_LONGEST] for name in names]
    stem = "-".join([began.strftime("%Y-%m-%dT%H.%M.%S"), *filter(None, words)])
    return parent / stem


def point_latest(folder: Path) -> Path:
    """Make ``latest`` beside a run's folder a link to it; returns the link, or the folder.

    What is called so and is no link is left alone, and a file system without links does without.
    """
    link = folder.parent / LATEST
    if os.path.lexists(link) and not link.is_symlink():
        return folder
    try:
        point_link(link, folder.name)
    except OSError:
        return folder
    return link


def remove_stale(folder: Path, before: Mapping[str, Any], written: Collection[str]) -> None:
    """Remove files that an earlier run wrote into this folder and this one did not.

    before: the earlier run's manifest. Only what it names goes, and only as it was written: what
    somebody changed is theirs.
    """
    files = before.get("files")
    for name, digest in files.items() if isinstance(files, dict) else ():
        place = folder / Path(str(name)).name
        if name in written or place.name != name or place.is_symlink() or not place.is_file():
            continue
        with contextlib.suppress(OSError):
            if _digest(place.read_bytes()) == digest:
                place.unlink()


def read_run(folder: Path) -> Mapping[str, Any]:
    """The manifest of the run that wrote into a folder; empty where there is none that is ours."""
    try:
        found = read_json(folder / MANIFEST)
    except InputError:
        return {}
    return found if isinstance(found, dict) and found.get("schema") == SCHEMA else {}


def command_of(folder: Path) -> list[str]:
    """The words of the command that wrote into a folder; empty where nothing says."""
    words = read_run(folder).get("command")
    known = isinstance(words, list) and all(isinstance(word, str) for word in words)
    return list(words) if known and isinstance(words, list) else []


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
