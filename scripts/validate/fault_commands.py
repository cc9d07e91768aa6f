"""The commands that ``faults.py`` ends, and what their files have to be at any moment."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sqlite3
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flash.search import search
from flash.spaces.space import load_space

ROOT = Path(__file__).resolve().parents[2]

_SPACE = """
schema = "flash.space/1"
name = "tiny"
family = "concat"
classes = 3
input = { channels = 3, height = 8, width = 8 }
settings = { cells = 2, stem = 4 }

[variables]
w1 = [4, 8, 12]
d1 = [3, 4, 5]
t1 = [0, 4, 8]
w2 = [4, 8, 12, 16]
d2 = [3, 4, 5]
t2 = [0, 4, 8]
"""
#: A program that trains: it takes a tenth of a second and says a number.
_EVALUATOR = """
import json, sys, time
design = json.load(sys.stdin)
time.sleep(0.1)
print(60 + sum(map(float, str(sorted(design.items())).encode())) % 30)
"""


@dataclass(frozen=True)
class Command:
    """A command: its words, and its journals, whose lines are finished work."""

    words: tuple[str, ...]
    journals: tuple[str, ...] = ()


def _with(words: str, *journals: str) -> Command:
    return Command(tuple(words.split()), journals)


COMMANDS = {
    "search": _with("search --target rpi3b --out out --html --quiet"),
    "search, dated": _with("search --target rpi3b --space nasbench201 --quiet"),
    "search, trained": Command(
        ("search", "--space", "tiny.toml", "--search", "random", "--budget", "12", "--quiet")
        + ("--evaluator", f"{sys.executable} evaluate.py", "--out", "out"),
        ("out/trained.csv",),
    ),
    "estimate": _with(
        "estimate --space cifar10-concat --designs designs.txt --target rpi4b --csv rows.csv"
    ),
    "estimate, scored": _with(
        "estimate --space tiny.toml --designs tiny.txt --metric naswot --proxy-cache scores.sqlite "
        "--csv rows.csv",
        "scores.sqlite",
    ),
    "profile": _with(
        "profile --workloads workloads.txt --out board.jsonl --budget 20s --threads 1 --quiet",
        "board.jsonl",
    ),
    "fit": _with("fit measured.jsonl --name board --out board.toml --json fit.json --quiet"),
    "calibrate": _with(
        "calibrate --space tiny.toml --data colours.npz --recipe quick --epochs 15 --images 120 "
        "--samples 8 --held-out 3 --workers 2 --results table.csv --out model.toml --json c.json",
        "table.csv",
    ),
    "train": _with("train mine.onnx --data photos.npz --epochs 4 --out trained --quiet"),
    "shrink": _with("shrink mine.onnx --out smaller --json s.json --quiet"),
    "export": _with("export front.json --format onnx,torch --out build"),
    "compare": _with("compare front.json other.json --json c.json --csv c.csv"),
    "check": _with("check mine.onnx --target rpi4b --max-latency 1s --json c.json --markdown c.md"),
}


def prepare(place: Path) -> None:
    """Put what the commands read into a folder."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "tiny.toml").write_text(_SPACE)
    (place / "evaluate.py").write_text(_EVALUATOR)
    rng = np.random.default_rng(0)
    for name, space, count in (
        ("designs.txt", load_space("cifar10-concat"), 4000),
        ("tiny.txt", load_space(str(place / "tiny.toml")), 40),
    ):
        lines = sorted({space.describe(row) for row in space.sample(count, rng)})
        (place / name).write_text("\n".join([*lines, ""]))
    (place / "workloads.txt").write_text("8x8x8: conv k3 8; relu\n72x112x112: dw k5 *8\n")
    for name, target in (("front.json", "rpi4b"), ("other.json", "rpi3b")):
        (place / name).write_text(search(target, "cifar10-concat").to_json())
    shutil.copy(ROOT / "examples/files/board.jsonl", place / "measured.jsonl")
    shutil.copy(ROOT / "examples/files/mine.onnx", place / "mine.onnx")
    for name, size in (("colours.npz", 8), ("photos.npz", 32)):
        x, y = _coloured(rng, 120, size), _coloured(rng, 60, size)
        np.savez(place / name, x_train=x[0], y_train=x[1], x_test=y[0], y_test=y[1])


def _coloured(rng: np.random.Generator, count: int, size: int) -> tuple[Any, Any]:
    """Noise, in class k brighter in channel k, so that a few epochs learn something."""
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 120, (count, size, size, 3))
    pixels[np.arange(count), :, :, labels] += 130
    return pixels.astype(np.uint8), labels


# ------------------------------------------------------------------------------ what is looked at
def files_in(place: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones and links too, by their paths in it."""
    found = {}
    for folder, _, names in os.walk(place):
        for name in names:
            path = Path(folder) / name
            content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(place))] = content
    return found


def torn(path: Path, is_journal: bool) -> str:
    """What is wrong with a file that is there; empty where it is whole."""
    reader = _WHOLE.get(path.suffix)
    if reader is None or path.is_symlink():
        return ""
    try:
        content = path.read_bytes()
        if is_journal and path.suffix != ".sqlite":  # a last line that was cut off is no line
            content = content[: content.rfind(b"\n") + 1]
            if not content:
                return ""
        reader(path, content)
    except Exception as error:  # any: that is what is asked
        return f"{path.name}: {type(error).__name__}: {error}"
    return ""


def _json(path: Path, content: bytes) -> None:
    json.loads(content)


def _lines(path: Path, content: bytes) -> None:
    for line in content.decode().splitlines():
        json.loads(line)


def _csv(path: Path, content: bytes) -> None:
    rows = list(csv.reader(io.StringIO(content.decode())))
    if not content.endswith(b"\n") or len({len(row) for row in rows}) != 1:
        raise ValueError("rows of different lengths")


def _ended(path: Path, content: bytes) -> None:
    if not content.rstrip().endswith((b"</svg>", b"</html>")):
        raise ValueError("has no end")


def _onnx(path: Path, content: bytes) -> None:
    from onnx import checker, load_model_from_string  # noqa: PLC0415 (an extra)

    checker.check_model(load_model_from_string(content))


def _zip(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if archive.testzip():
            raise ValueError("damaged")


def _sqlite(path: Path, content: bytes) -> None:
    if content:
        _rows(path)


def _rows(path: Path) -> list[tuple[Any, ...]]:
    base = sqlite3.connect(path, timeout=10)
    try:
        (state,) = base.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            raise ValueError(state)
        if not base.execute("SELECT name FROM sqlite_master").fetchall():
            return []
        return base.execute("SELECT network, proxy, value FROM scores").fetchall()
    finally:
        base.close()


_WHOLE: dict[str, Callable[[Path, bytes], None]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".csv": _csv,
    ".svg": _ended,
    ".html": _ended,
    ".onnx": _onnx,
    ".npz": _zip,
    ".pt": _zip,
    ".sqlite": _sqlite,
    ".toml": lambda path, content: void(tomllib.loads(content.decode())),
}


def void(value: Any) -> None:
    """Nothing of a value."""


def finished(path: Path) -> set[Any]:
    """The pieces of work that a journal holds."""
    if not path.exists():
        return set()
    if path.suffix == ".sqlite":
        return set(_rows(path)) if path.stat().st_size else set()
    content = path.read_bytes()
    return set(content[: content.rfind(b"\n") + 1].splitlines())


#: What differs from run to run: clocks, and what was measured.
_TIMES = frozenset({"seconds", "began", "optimizer", "latency_ms", "trained_now", "rows", "reused"})


def answer(files: dict[str, bytes]) -> dict[str, Any]:
    """What the files say, without what differs from run to run."""
    return {
        name: _without_times(Path(name).suffix, content)
        for name, content in files.items()
        if Path(name).suffix in (".json", ".csv", ".onnx", ".toml")
        and Path(name).name not in ("run.json", "train.json")
    }


def _without_times(suffix: str, content: bytes) -> Any:
    if suffix == ".json":
        return _untimed(json.loads(content))
    if suffix == ".csv":
        rows = csv.DictReader(io.StringIO(content.decode()))
        return sorted(sorted((k, v) for k, v in row.items() if k != "seconds") for row in rows)
    return content


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _untimed(v) for k, v in value.items() if k not in _TIMES}
    if isinstance(value, str):  # "certified: ... (196 evaluations, 0.107 s)"
        return re.sub(r"\b\d[\d.e-]* s\b", "x s", value)
    return [_untimed(item) for item in value] if isinstance(value, list) else value


def processes(mark: str) -> Iterator[int]:
    """Ids of the living processes that have ``mark`` in their environment."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    yield int(entry.name)
            except OSError:
                continue
