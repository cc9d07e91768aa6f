"""Fixtures: the shipped spaces, and third-party data where the machine has it."""

from __future__ import annotations

import csv
import gc
import gzip
import os
import signal
import sys
from pathlib import Path

# One thread a process: the suite runs in two, and what they start inherits it.
for _library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

# What they start is compiled once and not in every process, whatever the shell says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import numpy as np
import pytest
from device_programs import quick_program
from hypothesis import HealthCheck, settings

from flash.files.locations import data_file
from flash.metrics import scores
from flash.spaces.space import load_space

# How fast this machine is right now says nothing of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

SPACES = (
    "cifar10-add",
    "cifar10-concat",
    "cifar10-mobilenet-v2",
    "imagenet-mobilenet-v2",
    "nasbench-macro",
    "nasbench201",
)


def pytest_configure() -> None:
    """Programs that tests interrupt must hear it: a shell's background jobs inherit deafness."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


#: The longest tests: half a minute or more of a busy processor each.
LONGEST = (
    "test_blocks_do_what_they_say[docs/guide/detectors.md]",
    "test_blocks_do_what_they_say[docs/recipes.md]",
    "test_blocks_do_what_they_say[docs/guide/search.md]",
    "test_blocks_do_what_they_say[docs/guide/train.md]",
    "test_pages_made_by_a_script_are_current[check_boards]",
    "test_an_example_of_shrinking_and_training",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first in each process's half: none of them is all that is left to do."""
    longest = [item for item in items if any(name in item.nodeid for name in LONGEST)]
    others = [item for item in items if item not in longest]
    half = len(others) // 2
    items[:] = [*longest[::2], *others[:half], *longest[1::2], *others[half:]]


def pytest_collection_finish() -> None:
    """What was imported stays: the collector of garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()


def shared_folder() -> Path:
    """The folder of third-party measurements, beside the repository or in FLASH_SHARED."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("FLASH_SHARED", beside))


@pytest.fixture(scope="session")
def shared_rows():
    """Read ``shared/data/NAME.csv.gz`` as dictionaries; skip the test where it is absent."""

    def read(name: str) -> list[dict[str, str]]:
        path = shared_folder() / "data" / f"{name}.csv.gz"
        if not path.exists():
            pytest.skip(f"third-party data {name}.csv.gz is not on this machine")
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    return read


@pytest.fixture(params=SPACES)
def space(request):
    return load_space(request.param)


@pytest.fixture(scope="session")
def small_cells(tmp_path_factory):
    """The 729 cells of three operations, one of them none: most are dead in parts, many wholly."""
    text = data_file("models", "nasbench201").read_text(encoding="utf-8")
    file = tmp_path_factory.mktemp("space") / "small.toml"
    file.write_text(text.replace("[0, 1, 2, 3, 4]", "[0, 2, 3]"), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="session")
def every_macro_design(tmp_path_factory):
    """A space of 729 of the designs of nasbench-macro, all of them, their scores graph by graph."""
    text = data_file("models", "nasbench-macro").read_text(encoding="utf-8")
    for fixed, value in (("o3", 1), ("o6", 2)):
        text = text.replace(f"{fixed} = [0, 1, 2]", f"{fixed} = [{value}]")
    file = tmp_path_factory.mktemp("space") / "macro.toml"
    file.write_text(text, encoding="utf-8")
    space = load_space(str(file))
    assert space.size == 729
    every = np.stack(np.unravel_index(np.arange(space.size), [len(g) for g in space.grids]), 1)
    return str(file), every, scores(space, every, [space.metric])[space.metric]


@pytest.fixture(scope="session")
def _quick_program(tmp_path_factory):
    return quick_program(tmp_path_factory.mktemp("program"))


@pytest.fixture
def measured_quickly(_quick_program, monkeypatch):
    """``flash.profile`` of this process measures for a tenth of a second a network."""
    monkeypatch.setattr("flash.profile.transports.base.script_file", lambda _: _quick_program)


@pytest.fixture
def rng():
    return np.random.default_rng(20260714)
