"""The Dockerfile copies what the wheel is built from, and installs and starts what exists.

No image is built here: an engine that builds one is not to be had everywhere.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def of(word):
    """What follows an instruction, line by line."""
    return [line.removeprefix(f"{word} ") for line in LINES if line.startswith(f"{word} ")]


def copied():
    """(paths in the repository, place in the image) of every COPY from the repository."""
    pairs = [line.split() for line in of("COPY") if not line.startswith("--from")]
    return [(words[:-1], words[-1]) for words in pairs]


def test_every_path_that_is_copied_is_there_and_sent_to_the_engine():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for sources, _ in copied():
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in ignored, source


def test_all_that_the_wheel_is_made_of_is_copied():
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], PROJECT["project"]["readme"], "LICENSE"}
    assert needed | {"pyproject.toml"} <= {source for sources, _ in copied() for source in sources}
    for sources, place in copied():  # each where it lies in the repository
        assert place == "./" or [place] == sources


def test_extras_and_the_command_are_those_of_the_project():
    (extras,) = re.findall(r"pip install [^\n]*\"\.\[([\w,-]+)\]\"", "\n".join(of("RUN")))
    assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
    (entry,) = of("ENTRYPOINT")
    assert Path(entry.strip('[]"')).name in PROJECT["project"]["scripts"]


def test_python_is_one_that_flash_runs_on_and_nobody_is_root():
    least = tuple(map(int, PROJECT["project"]["requires-python"].removeprefix(">=").split(".")))
    for image in of("FROM"):
        (version,) = re.findall(r"^python:(\d+)\.(\d+)-slim", image)
        assert tuple(map(int, version)) >= least
    last = LINES[max(k for k, line in enumerate(LINES) if line.startswith("FROM ")) :]
    (user,) = [line.split()[1] for line in last if line.startswith("USER ")]
    assert user != "root" and any("useradd" in line and user in line for line in last)
