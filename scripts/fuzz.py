"""Damaged files for every reader: ``python scripts/fuzz.py [READER ...] [--inputs 20000]``.

Each input is a good file of its reader with random damage (bytes flipped, cut, doubled, numbers out
of range, lines swapped, parts of another file). A reader may give a value or one error of flash's;
counted are tracebacks, inputs of more than 20 s, processes of more than 2 GB, and files that a
reader changed. Inputs run in processes of their own, 200 each, the same for the same ``--seed``.
Exit code 1 if anything is counted. What did is kept in ``--keep DIR``. Budgets, options and numbers
on the command line are read by ``options``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from flash.accuracy.storage import accuracy_of
from flash.backends import random_weights, read_onnx, variants_of_file
from flash.calibrate.anchors import read_anchors
from flash.calibrate.trained import read_trained
from flash.device.ground.refusal import Refused
from flash.device.meter import read_meter
from flash.device.suite import read_suite
from flash.errors import FlashError
from flash.export.trained import read_weights
from flash.files.arrays import read_arrays
from flash.files.image_sets import read_parts
from flash.files.labelled import read_labelled
from flash.info.comparison import compare
from flash.measurements.comparison import read_comparison
from flash.measurements.reading import read_measurements
from flash.profile.suites.suite import build_suite
from flash.profile.transports.journal import read_journal
from flash.quantities import QUANTITIES, parse_count, parse_number, parse_sizes, parse_whole
from flash.report.reading import read_search
from flash.report.runs import MANIFEST, Run, command_of, read_run, run_text
from flash.search import search
from flash.search.answer import requested
from flash.search.budgeted.journal import Journal, read_accuracies
from flash.search.command import _parser
from flash.shrink.pipeline import space_text
from flash.spaces.space import load_space
from flash.targets import load_hardware
from flash.train.start import read_start
from flash.training.campaign import read_designs
from flash.training.results import read_results

ROOT = Path(__file__).resolve().parents[1]
#: Inputs of one process, most seconds of an input, most bytes of a process.
_CHUNK, _SECONDS, _BYTES = 200, 20, 2 << 30
_SPACE = "cifar10-concat"
_EVIL = (
    b"NaN", b"-1", b"1e999", b"-0", b"9" * 400, b"0x10", b"1_000", "\uff11".encode(), b"true",
    b"null", b'""', b"[]", b"{}", b"[" * 100,
    b"\x00", b"\xff\xfe", b"\r", b"=1+1", b"../../etc", b"4e9",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A reader: how its good files end, makes them, and what reads one."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], Any]


def _files(*patterns: str) -> Callable[[], list[bytes]]:
    return lambda: [path.read_bytes() for p in patterns for path in sorted(ROOT.glob(p))]


def _onnx(path: Path) -> None:
    network = read_onnx(path)
    assert network.macs >= 0


def _target(path: Path) -> None:
    target = load_hardware(str(path)).target()
    assert target.name


def _space(path: Path) -> None:
    space = load_space(str(path))
    designs = space.sample(3, np.random.default_rng(0))
    space.network(designs[0])
    accuracy_of(space)


def _design_lines(path: Path) -> None:
    space, bench = load_space(_SPACE), load_space("nasbench201")
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        for one in (space, bench):
            try:
                one.parse(line)
            except FlashError:
                continue


def _options(path: Path) -> None:
    words = path.read_bytes().decode("utf-8", "replace").split("\n")
    for text in words:
        for parse in (parse_whole, parse_number, parse_count, parse_sizes):
            try:
                parse(text, "--option")
            except FlashError:
                continue
        for quantity in QUANTITIES.values():
            try:
                quantity.parse(text, "--option")
            except FlashError:
                continue
    asked = [word for word in words if word not in ("-h", "--help", "--version")]
    requested(_parser().parse_args(asked))


def _shrunk(path: Path) -> None:
    """A model's space whose graph, or model, is damaged."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in _model_space().items():
            (Path(folder) / name).write_bytes(content)
        (Path(folder) / f"mine{path.suffix}").write_bytes(path.read_bytes())
        space = load_space(f"{folder}/mine.toml")
        space.network(space.sample(1, np.random.default_rng(0))[0])


@cache
def _model_space() -> dict[str, bytes]:
    """The files of the space of a model's smaller variants."""
    variants = variants_of_file(ROOT / "examples/files/mine.onnx")
    document = variants.document("mine", "mine.onnx")
    return {
        "mine.toml": space_text("mine", document).encode(),
        "mine.graph.json": json.dumps(document).encode(),
        "mine.onnx": variants.content,
    }


@cache
def _network() -> Any:
    """A small network, for weights of its own."""
    space = load_space("nasbench201")
    return space.network(
        space.parse("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    )


@cache
def _weights() -> list[bytes]:
    return _archive(**random_weights(_network(), 0))()[:1]


def _run(path: Path) -> None:
    """The manifest of a run, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(path.read_bytes())
        read_run(Path(folder))
        command_of(Path(folder))


def _manifest() -> list[bytes]:
    began = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = Run(["flash", "search"], 0, {"space": ROOT / "models/nasbench201.toml"}, began)
    return [run_text(made, {"front.json": "{}"}).encode()]


def _archive(**arrays: Any) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            np.savez_compressed(Path(folder) / "a.npz", **arrays)
            np.save(Path(folder) / "a.npy", next(iter(arrays.values())))
            return [(Path(folder) / name).read_bytes() for name in ("a.npz", "a.npy")]

    return make


def _table(header: str, *columns: str) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        space = load_space(_SPACE)
        rows = space.sample(12, np.random.default_rng(1))
        lines = [",".join((f'"{space.describe(row)}"', *columns)) for row in rows]
        return ["\n".join([header, *lines, ""]).encode()]

    return make


@cache
def _front() -> list[bytes]:
    return [search("rpi4b", "nasbench201", optimizer="exact").to_json().encode()]


_SAMPLES = {
    "x": np.zeros((12, 3, 4, 4), np.float32), "y": np.arange(12) % 3,
}  # fmt: skip
_COLOURS = {
    "x_train": np.zeros((8, 4, 4, 3), np.uint8), "y_train": np.arange(8) % 2,
    "x_test": np.zeros((4, 4, 4, 3), np.uint8), "y_test": np.arange(4) % 2,
}  # fmt: skip
_ROW = '"cifar10-concat",{},images,fit,quick,0,70.5,1,2.0,cpu,5,6,d,71.5,'
READERS = {
    "onnx": Reader(".onnx", _files("examples/files/*.onnx"), _onnx),
    "profile": Reader(".toml", _files("hw_profiles/*.toml"), _target),
    "space": Reader(".toml", _files("models/*.toml", "examples/files/*.toml"), _space),
    "measurements": Reader(
        ".jsonl", _files("examples/files/*.jsonl"), lambda p: read_measurements(p, "", 1)
    ),
    "comparison": Reader(".jsonl", _files("examples/files/*.jsonl"), read_comparison),
    "profile-journal": Reader(".jsonl", _files("examples/files/*.jsonl"), read_journal),
    "suite": Reader(".zip", lambda: [build_suite(["mobilenet_v1"])], lambda p: read_suite(str(p))),
    "report": Reader(".json", _front, lambda p: read_search(p.read_bytes().decode(), str(p))),
    "accuracies": Reader(
        ".csv", _table("design,accuracy", "93.5"), lambda p: read_accuracies(p, load_space(_SPACE))
    ),
    "budget-journal": Reader(
        ".csv", _table("design,accuracy,seconds,failure,source", "93.5", "1", "", "x"),
        lambda p: Journal(p, load_space(_SPACE), "x"),
    ),
    "trainings": Reader(
        ".csv", _files("models/calibration/*.csv"), read_results
    ),
    "trained": Reader(
        ".csv", _files("examples/files/table.csv"), lambda p: read_trained(p, load_space(_SPACE))
    ),
    "anchors": Reader(
        ".csv", _table("design,accuracy,recipe", "93.5", "long"),
        lambda p: read_anchors(p, load_space(_SPACE)),
    ),
    "design-list": Reader(
        ".txt", lambda: [b"fit w=8,16,32 d=3,3,3 t=0,0,0\n"],
        lambda p: read_designs(p, load_space(_SPACE)),
    ),
    "designs": Reader(
        ".txt",
        lambda: [
            b"w=8,16,32 d=3,3,3 t=0,0,0\n" * 3, (ROOT / "examples/files/cells.txt").read_bytes(),
            b'{"w1": 8, "w2": 16, "w3": 32, "d1": 3, "d2": 3, "d3": 3, "t1": 0, "t2": 0, "t3": 0}',
        ],
        _design_lines,
    ),
    "arrays": Reader(".npz", _archive(**_COLOURS), read_arrays),
    "graph-of-model": Reader(".graph.json", lambda: [_model_space()["mine.graph.json"]], _shrunk),
    "space-of-model": Reader(".toml", lambda: [_model_space()["mine.toml"]], _shrunk),
    "runs-compared": Reader(".json", _front, lambda p: compare(p, p).document()),
    "run": Reader(".json", _manifest, _run),
    "start-of-training": Reader(".json", _front, lambda p: read_start(p, "none", None, 0)),
    "samples": Reader(".npz", _archive(**_SAMPLES), lambda p: read_labelled(p, (3, 4, 4))),
    "samples-listed": Reader(
        ".csv", lambda: [b"file,label\na.png,cat\nb.png,dog\n"] * 2,
        lambda p: read_labelled(p, (3, 4, 4)),
    ),
    "images": Reader(".npz", _archive(**_COLOURS), lambda p: read_parts(p, None, [])),
    "meter": Reader(
        ".csv",
        lambda: [b"time,power_w\n" + b"".join(b"%d.5,%d.25\n" % (k, k % 3) for k in range(40))],
        lambda p: read_meter(str(p)),
    ),
    "weights": Reader(".npz", _weights, lambda p: read_weights(p, _network())),
    "options": Reader(
        ".txt",
        lambda: [
            b"--max-latency\n20ms\n--max-energy\n5mJ\n--max-memory\n8MB\n--seed\n1\n--min-score\n3",
            b"--objectives\nscore,latency\n--target\nrpi3b\n--metric\nsed\n--confidence\n90%",
            b"--metric\nzico\n--shortlist\n5\n--workers\n2\n--proxy-batch\n4\n20M\n1x3x8\n1e-3",
        ],
        _options,
    ),
}  # fmt: skip


def damaged(content: bytes, other: bytes, dice: random.Random) -> bytes:
    """The content with one to four damages."""
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(content) + 1)
        length = dice.choice((1, 1, 4, 16, 256))
        kind = dice.randrange(9)
        if kind == 0 and content:
            at = min(at, len(content) - 1)
            flipped = bytes([content[at] ^ (1 << dice.randrange(8))])
            content = content[:at] + flipped + content[at + 1 :]
        elif kind == 1:
            content = content[:at] + content[at + length :]
        elif kind == 2:
            content = content[:at] + content[at : at + length] * 2 + content[at + length :]
        elif kind == 3:
            content = content[:at]
        elif kind == 4:
            start = dice.randrange(len(other) + 1)
            content = content[:at] + other[start : start + length] + content[at:]
        elif kind == 5:
            content = content[:at] + dice.choice(_EVIL) + content[at:]
        elif kind == 6:
            content = _number_replaced(content, dice)
        elif kind == 7:
            lines = content.split(b"\n")
            dice.shuffle(lines)
            content = b"\n".join(lines)
        else:
            content = content[:at] + dice.randbytes(length) + content[at + length :]
    return content[: 4 << 20]


def _number_replaced(content: bytes, dice: random.Random) -> bytes:
    digits = [k for k, byte in enumerate(content) if 48 <= byte <= 57]
    if not digits:
        return content
    start = end = dice.choice(digits)
    while end < len(content) and (48 <= content[end] <= 57 or content[end] in b".eE"):
        end += 1
    return content[:start] + dice.choice(_EVIL) + content[end:]


# -------------------------------------------------------------------------------------- running
class _Hangs(BaseException):
    """An input that takes too long; no reader catches it."""


def _ring(number: int, frame: FrameType | None) -> None:
    raise _Hangs


def inputs(name: str, seed: int, start: int, count: int) -> Iterator[bytes]:
    """Inputs ``start`` to ``start + count`` of a reader."""
    seeds = READERS[name].seeds()
    for number in range(start, start + count):
        dice = random.Random(f"{name} {seed} {number}")
        yield damaged(dice.choice(seeds), dice.choice(seeds), dice)


def attempt(reader: Reader, content: bytes, folder: Path) -> str:
    """What is wrong with what a reader makes of an input; empty where nothing is."""
    path = folder / f"input{reader.suffix}"
    path.write_bytes(content)
    mine = {path: content, folder / "mine.txt": b"mine"}
    (folder / "mine.txt").write_bytes(b"mine")
    signal.alarm(_SECONDS)
    try:
        reader.read(path)
    except (FlashError, Refused) as error:
        if not str(error) or len(str(error)) > 4000:
            return "an error without a line"
    except UnicodeDecodeError:
        if reader.suffix != ".json":  # what is no text never gets there
            return "traceback: UnicodeDecodeError"
    except _Hangs:
        return f"hangs over {_SECONDS} s"
    except BaseException:
        return f"traceback: {traceback.format_exc(limit=-3)}"
    finally:
        signal.alarm(0)
    found = {one: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    return "" if found == mine else f"files changed: {sorted(found.keys() ^ mine.keys())}"


def _chunk(name: str, seed: int, start: int, count: int, told: Any) -> None:
    """Work of one process: sends (number of the input, what is wrong), then its peak memory."""
    signal.signal(signal.SIGALRM, _ring)
    sys.stderr = sys.stdout = Path("/dev/null").open("w", encoding="utf-8")  # noqa: SIM115
    with tempfile.TemporaryDirectory(prefix="flash-fuzz-") as folder:
        for number, content in enumerate(inputs(name, seed, start, count), start):
            wrong = attempt(READERS[name], content, Path(folder))
            if wrong:
                told.send((number, wrong))
    told.send((-1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def fuzz(name: str, seed: int, count: int) -> tuple[list[tuple[int, str]], int]:
    """What was wrong with ``count`` inputs of a reader: (number, what); and the peak memory."""
    wrong, peak = list[tuple[int, str]](), 0
    context = multiprocessing.get_context("fork")
    READERS[name].seeds()  # those that are kept are made once, for all processes
    for start in range(0, count, _CHUNK):
        ours, theirs = context.Pipe(duplex=False)
        some = min(_CHUNK, count - start)
        worker = context.Process(target=_chunk, args=(name, seed, start, some, theirs))
        worker.start()
        theirs.close()
        ended = False
        while not ended:
            try:
                number, what = ours.recv()
            except EOFError:
                wrong.append((start, "the process died"))
                break
            ended = number < 0
            if ended:
                peak = max(peak, what)
            else:
                wrong.append((number, what))
        worker.join()
        if peak > _BYTES:
            wrong.append((start, f"took {peak >> 20} MB"))
    return wrong, peak


def main() -> int:
    """Run, print a line a reader and the total."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)}")
    parser.add_argument("--inputs", type=int, default=20_000, help="in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where inputs that broke go")
    given = parser.parse_args()
    names = given.readers or list(READERS)
    unknown = [name for name in names if name not in READERS]
    if unknown:
        parser.error(f"unknown reader '{unknown[0]}'")
    each, total = -(-given.inputs // len(names)), 0
    for name in names:
        began = time.perf_counter()
        wrong, peak = fuzz(name, given.seed, each)
        total += len(wrong)
        seconds = time.perf_counter() - began
        peak_mb = f"{peak >> 20:5} MB"
        print(f"{name:<16} {each:6,} inputs  {len(wrong):3} wrong  {peak_mb}  {seconds:6.1f} s")
        for number, what in wrong[:5]:
            print(f"    input {number}: {what.strip().splitlines()[-1]}")
            if given.keep:
                given.keep.mkdir(parents=True, exist_ok=True)
                content = next(inputs(name, given.seed, number, 1))
                (given.keep / f"{name}-{number}{READERS[name].suffix}").write_bytes(content)
                (given.keep / f"{name}-{number}.txt").write_text(what)
    print(f"{each * len(names):,} inputs, {total} wrong")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
