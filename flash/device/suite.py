"""What is to be measured: a suite's archive, or ONNX files of the user's own.

Files come from anywhere, so everything in them is checked and bounded before it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
import zipfile
import zlib
from typing import Any, BinaryIO, Sequence

from flash.device.ground.refusal import Refused
from flash.device.libraries import Libraries
from flash.device.passes import network_key

SUITE_SCHEMA = "flash.suite/1"
#: Largest file whose content is looked at piece by piece, and most weights that a suite may make,
#: in bytes: what ONNX itself can hold.
LARGEST_FILE = 2**31
#: Largest suite, packed and unpacked, in bytes: both are in memory at once. flash makes none
#: above 512 MiB.
LARGEST_SUITE = 640 << 20
#: Largest list of a suite's workloads, in bytes; 10,000 of them take 4 MB.
LARGEST_LIST = 16 << 20
#: Most workloads of a suite: at 1 s each they take three hours.
MOST_WORKLOADS = 10_000
#: Most elements of one input that is made up: 4 GB of float32.
MOST_ELEMENTS = 2**30
PRECISIONS = ("fp32", "fp16", "int8")
_WEIGHT_TYPES = ("float32", "float16", "int8")


class Task:
    """One network to measure: how measurements name it, its file, its expected share of time.

    beside: files that the model keeps its weights in, by name.
    """

    def __init__(
        self,
        network: dict[str, Any],
        content: bytes,
        share: float,
        path: str = "",
        beside: dict[str, bytes] | None = None,
    ) -> None:
        self.network, self.content, self.share, self.path = network, content, share, path
        self.beside = beside or {}
        self.shapes: dict[str, list[Any]] = network.get("input_shapes") or {}
        self.key = network_key(network)
        self.text = str(
            network.get("workload")
            or network.get("onnx")
            or f"{network.get('space')}: {network.get('design')}"
        )


class Suite:
    """What is to be measured: ``name``, ``sha256``, ``precision``, ``batch``, ``tasks``.

    ``weights`` tells how the file of numbers is made that the models point into; None for
    models that carry their own.
    """

    def __init__(
        self,
        name: str,
        sha256: str,
        precision: str,
        batch: int,
        tasks: list[Task],
        weights: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.sha256, self.precision = name, sha256, precision
        self.batch, self.tasks, self.weights = batch, tasks, weights


def read_suite(path: str) -> Suite:
    """The suite in an archive; raises ``Refused`` (exit code 4) for anything else."""
    content = read_bytes(path, LARGEST_SUITE)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_SUITE:
                raise ValueError(f"it unpacks to more than {LARGEST_SUITE >> 20} MiB")
            if archive.getinfo("suite.json").file_size > LARGEST_LIST:
                raise ValueError(f"suite.json has more than {LARGEST_LIST >> 20} MiB")
            head = json.loads(archive.read("suite.json").decode("utf-8"))
            if head["schema"] != SUITE_SCHEMA:
                raise Refused(
                    f"{path}: schema {short(head['schema'])}; this script reads {SUITE_SCHEMA}", 4
                )
            tasks = [_task(entry, archive) for entry in _few(head["workloads"], MOST_WORKLOADS)]
            weights = None if head["weights"] is None else _weights(head["weights"])
            name, precision, batch = str(head["name"]), str(head["precision"]), head["batch"]
            if precision not in PRECISIONS or not _is_whole(batch, 1, 4096):
                raise ValueError(f"precision {short(precision)}, batch {short(batch)}")
    except (
        zipfile.BadZipFile,
        zlib.error,
        ArithmeticError,
        AttributeError,
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,
        RecursionError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        what = " ".join(str(error).strip("'\"").split())[:200] or type(error).__name__
        raise Refused(
            f"{path}: not a suite of flash, or a damaged one ({what}); make it with "
            "python -m flash.profile --write-suite suite.zip",
            4,
        ) from None
    return Suite(name[:200], hashlib.sha256(content).hexdigest(), precision, batch, tasks, weights)


def _task(entry: Any, archive: zipfile.ZipFile) -> Task:
    network, share = dict(entry["network"]), float(entry["share"])
    if not 0 < share < math.inf:
        raise ValueError(f"share {share}")
    json.dumps(network, allow_nan=False)
    check_shapes(network.get("input_shapes") or {})
    beside = {}
    for name, member in dict(entry.get("files") or {}).items():
        if name in ("", ".", "..", "model.onnx") or os.path.basename(name) != name or "\0" in name:
            raise ValueError(f"weights in {short(name)}")
        beside[name] = archive.read(member)
    return Task(network, archive.read(entry["model"]), share, "", beside)


def _few(values: Any, most: int) -> list[Any]:
    if not isinstance(values, list) or len(values) > most:
        raise ValueError(f"expected a list of {most} at most")
    return values


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def check_shapes(shapes: Any) -> None:
    """Raise ``ValueError`` unless these are input shapes by name, each of bounded size.

    One number may also be the value of an input without axes.
    """
    for name, shape in dict(shapes).items():
        whole = isinstance(shape, list) and all(_is_whole(n, 1, MOST_ELEMENTS) for n in shape)
        if whole and math.prod(shape) > MOST_ELEMENTS:
            whole = False
        elif isinstance(shape, list) and len(shape) == 1:
            whole = type(shape[0]) in (int, float) and abs(shape[0]) <= MOST_ELEMENTS
        if not isinstance(name, str) or not whole:
            raise ValueError(f"input shape {short(name)}: {short(shape)}")


def _weights(given: Any) -> dict[str, Any]:
    """How the shared numbers are made, every number of it checked."""
    regions, end = [], 0
    for region in _few(given["regions"], 4 * MOST_WORKLOADS):
        offset, elements, dtype = region["offset"], region["elements"], str(region["dtype"])
        std = float(region["std"])
        if dtype not in _WEIGHT_TYPES or not 0 <= std < 1e6:
            raise ValueError(f"weights of type {dtype}, deviation {std}")
        if not _is_whole(offset, 0, LARGEST_FILE) or not _is_whole(elements, 0, LARGEST_FILE):
            raise ValueError(f"weights at {short(offset)}, {short(elements)} of them")
        width = {"float32": 4, "float16": 2, "int8": 1}[dtype]
        end = max(end, offset + width * elements)
        regions.append({"offset": offset, "elements": elements, "std": std, "dtype": dtype})
    if end > LARGEST_FILE or not _is_whole(given["seed"], 0, 2**31):
        raise ValueError("its weights take more than 2 GiB")
    file = os.path.basename(str(given["file"]))
    if file in ("", ".", "..", "model.onnx"):
        raise ValueError(f"weights in {short(file)}")
    return {"file": file, "seed": given["seed"], "regions": regions}


def own_models(
    paths: Sequence[str], precision: str, batch: int, shapes: dict[str, list[Any]]
) -> Suite:
    """The user's ONNX files as a suite; ``shapes`` of their inputs by name, where they are free."""
    tasks, digests = [], []
    for path in dict.fromkeys(paths):
        digest = file_digest(path)
        digests.append(digest)
        network: dict[str, Any] = {"onnx": path, "sha256": digest}
        if shapes:
            network["input_shapes"] = shapes
        tasks.append(Task(network, b"", 1.0 / len(paths), path))
    sha256 = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return Suite("own models", sha256, precision, batch, tasks)


def open_file(path: str, most: int = LARGEST_FILE) -> BinaryIO:
    """A regular file, to be read; raises ``Refused`` (exit code 4) for anything else."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise Refused(f"{path}: is a folder", 4)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{path}: is no regular file", 4)
        if status.st_size > most:
            raise Refused(f"{path}: has more than {most >> 20} MiB", 4)
        return open(path, "rb")
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", 4) from None
    except ValueError as error:  # a null character
        raise Refused(f"{path!r}: {error}", 4) from None


def read_bytes(path: str, most: int) -> bytes:
    """The content of a file of ``most`` bytes at most; raises as ``open_file``."""
    with open_file(path, most) as stream:
        return stream.read(most)


def file_digest(path: str) -> str:
    """The SHA-256 of a file; raises as ``open_file``."""
    digest = hashlib.sha256()
    with open_file(path) as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def write_weights(folder: str, weights: dict[str, Any]) -> None:
    """Make the numbers that all models of a suite share, the same on every device.

    ``numpy.random.RandomState`` gives the same stream in all versions (NEP 19). A block is
    drawn and repeated: times do not depend on the numbers.
    """
    numpy = Libraries.numpy
    place = os.path.join(folder, os.path.basename(str(weights["file"])))
    with open(place, "wb") as stream:
        for number, region in enumerate(weights["regions"]):
            rng = numpy.random.RandomState(int(weights["seed"]) + number)
            if region["dtype"] == "int8":
                block = rng.randint(-127, 128, size=1 << 16).astype(numpy.int8)
            else:
                block = rng.uniform(-1.0, 1.0, size=1 << 16) * math.sqrt(3.0) * region["std"]
                block = block.astype(region["dtype"])
            stream.seek(int(region["offset"]))
            left = int(region["elements"])
            while left > 0:
                stream.write(block[:left].tobytes())
                left -= len(block)


def short(value: Any) -> str:
    """A value of a file as a message shows it: one line, not too long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "a value too large to show"
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= 90 else text[:87] + "..."
