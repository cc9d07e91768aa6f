"""A suite: the networks to measure and all that a device needs to measure them, in one file.

A zip archive with ``suite.json`` (schema ``flash.suite/1``) and one ONNX model a workload.
``suite.json`` holds ``name``, ``flash`` (version), ``precision``, ``batch``, ``weights``
(``file``, ``seed`` and ``regions``, see ``flash.backends.onnx.suite_model``) and ``workloads``
in the order to be measured, each with ``workload`` (its text), ``network`` (how
measurements name it), ``model`` (the file inside the archive), ``macs``, ``params`` and
``share``: the time it is
expected to take against the others. Someone's own models carry their weights (``weights`` is
null) and have only ``network``, ``model``, ``share`` and, where weights are in files beside the
model, ``files``: their names -> the files inside the archive.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from flash import __version__
from flash.errors import InputError, UsageError, did_you_mean, shown
from flash.files.limits import UNPACKED_BYTES
from flash.files.reading import parse_json, read_bytes
from flash.measurements.workloads import block_chain, is_chain
from flash.profile.suites.choice import choose, expected_ms
from flash.profile.suites.pool import Candidate, candidates

__all__ = [
    "DEFAULT_COUNT",
    "PRECISIONS",
    "SCHEMA",
    "build_suite",
    "model_suite",
    "network_entry",
    "read_head",
    "split_suite",
]

SCHEMA: Final = "flash.suite/1"
DEFAULT_COUNT: Final = 80
PRECISIONS: Final = ("fp32", "fp16", "int8")
#: Most bytes of someone's own models together: they are copied, compressed and unpacked in memory.
_LARGEST: Final = 512 << 20
#: Zip entries carry a time; the same suite must give the same bytes.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def build_suite(
    texts: Sequence[str] | None = None,
    *,
    count: int = DEFAULT_COUNT,
    precision: str = "fp32",
    batch: int = 1,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> bytes:
    """The archive of a suite; the same arguments give the same bytes.

    texts: workloads in the order to be measured; None chooses ``count`` of the candidates of
           ``seed``, the most informative first. tell: takes a line before the work begins.

    Raises ``UsageError`` for what cannot be built, with the workload's text.
    """
    from flash.backends import WEIGHTS_FILE, suite_models  # noqa: PLC0415 (an extra)

    _check(precision, batch)
    if texts is None:
        if count < 1:
            raise UsageError("a suite has at least one workload")
        tell(f"choosing {count} networks and making their files")
        # Chains of blocks are written in fp32 and for one image only.
        chosen = choose(candidates(seed, blocks=precision == "fp32" and batch == 1), count)
        name = f"flash-{count}" + (f"-seed{seed}" if seed else "")
    else:
        if not texts:
            raise UsageError("a suite has at least one workload")
        chosen = [Candidate.of(text) for text in dict.fromkeys(texts)]
        name = f"own-{len(chosen)}"
    files = [f"models/{i:03d}.onnx" for i in range(len(chosen))]
    found = {file: block_chain(c.text) for file, c in zip(files, chosen, strict=True)}
    blocks = {file: chain for file, chain in found.items() if chain is not None}
    networks = {f: c.network for f, c in zip(files, chosen, strict=True) if f not in blocks}
    models, regions = suite_models(networks, precision, batch, blocks)
    shares = expected_ms(chosen)
    workloads = [
        _entry(candidate, file, float(ms / shares.sum()))
        for candidate, file, ms in zip(chosen, files, shares, strict=True)
    ]
    weights = {"file": WEIGHTS_FILE, "seed": seed, "regions": [asdict(r) for r in regions]}
    head = _head(name, precision, batch) | {"weights": weights, "workloads": workloads}
    written = {file: models[file] for file in files}
    return _archive({"suite.json": json.dumps(head, indent=1).encode()} | written)


def model_suite(
    paths: Sequence[str | Path],
    precision: str = "fp32",
    batch: int = 1,
    input_shapes: Mapping[str, Sequence[float]] | None = None,
) -> bytes:
    """The archive of a suite of someone's ONNX files, which ``precision`` only describes.

    input_shapes: shapes of inputs whose sizes are free, by name, of any of the models; an empty
                  name is a model's only input. A free first axis that has none is the batch. Of an
                  input without axes, its value.

    Weights that a model keeps in files beside it go with it. Raises ``InputError`` for a file
    that cannot be read, and for more than ``_LARGEST`` together, ``UsageError`` for an input that
    no model has.
    """
    _check(precision, batch)
    known: dict[str, None] = {}
    entries: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    unique = list(dict.fromkeys(str(path) for path in paths))
    for number, path in enumerate(unique):
        content = read_bytes(path, most=UNPACKED_BYTES)
        network: dict[str, Any] = {"onnx": path, "sha256": hashlib.sha256(content).hexdigest()}
        beside = _beside(path, content)
        if own := _own_shapes(content, input_shapes or {}, known):
            network["input_shapes"] = own
        file = f"models/{number:03d}.onnx"
        files[file] = content
        entry = {"network": network, "model": file, "share": 1.0 / len(unique)}
        if beside:
            entry["files"] = {name: f"models/{number:03d}/{name}" for name in beside}
            files |= {f"models/{number:03d}/{name}": data for name, data in beside.items()}
        entries.append(entry)
        if sum(map(len, files.values())) > _LARGEST:
            raise InputError(
                f"{path}: the models have more than {_LARGEST >> 20} MiB: copy them and "
                "scripts/profile_device.py to the device and run it there with these files"
            )
    for name in input_shapes or ():
        if name and name not in known:
            raise UsageError(
                f"--input {name}: no model has such an input{did_you_mean(name, known)}"
            )
    head = _head(f"own-{len(unique)}", precision, batch) | {"weights": None, "workloads": entries}
    return _archive({"suite.json": json.dumps(head, indent=1).encode()} | files)


def _own_shapes(
    content: bytes, shapes: Mapping[str, Sequence[float]], known: dict[str, None]
) -> dict[str, list[float]]:
    """The shapes that are of a model's inputs; adds what it has to the names that are known.

    The value of a tensor that the model computes is something ``flash estimate`` may be told; what
    is measured computes it.
    """
    if not shapes:
        return {}
    from flash.backends import tensor_names  # noqa: PLC0415 (an extra)

    inputs, computed = tensor_names(content)
    known |= dict.fromkeys((*inputs, *(name for name in computed if name in shapes)))
    return {name: list(shape) for name, shape in shapes.items() if name in ("", *inputs)}


def _beside(path: str, content: bytes) -> dict[str, bytes]:
    """The files in which a model keeps its weights, by name; empty where it carries its own."""
    from flash.backends import outside_files  # noqa: PLC0415 (an extra)

    found = {}
    for name in outside_files(content, path):
        place = Path(path).parent / name
        if name in ("", ".", "..", "model.onnx") or Path(name).name != name or place.is_symlink():
            raise InputError(
                f"{path}: its weights are in other files: {shown(name)} is not a file beside it"
            )
        if place.is_file() and place.stat().st_size > _LARGEST:
            raise InputError(f"{place}: has more than {_LARGEST >> 20} MiB")
        try:
            found[name] = read_bytes(place, most=UNPACKED_BYTES)
        except InputError as error:
            raise InputError(f"{path}: its weights are in other files: {error}") from None
    return found


def read_head(archive: zipfile.ZipFile) -> dict[str, Any]:
    """``suite.json`` of a suite's archive."""
    document: dict[str, Any] = parse_json(archive.read("suite.json").decode(), "suite.json")
    return document


def split_suite(
    content: bytes, count: int, wanted: Callable[[Mapping[str, Any]], bool]
) -> list[tuple[bytes, float]]:
    """The workloads of a suite that are wanted, in suites of ``count`` at most, in the order given.

    wanted: of a workload's ``network``. With each suite goes its share of the whole one's time.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        head = read_head(archive)
        entries = [entry for entry in head["workloads"] if wanted(entry["network"])]
        parts = []
        for start in range(0, len(entries), count):
            some = entries[start : start + count]
            names = [n for e in some for n in (e["model"], *e.get("files", {}).values())]
            files = {name: archive.read(name) for name in names}
            text = json.dumps(head | {"workloads": some}, indent=1)
            share = sum(entry["share"] for entry in some)
            parts.append((_archive({"suite.json": text.encode()} | files), share))
    return parts


def _check(precision: str, batch: int) -> None:
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision '{precision}'{did_you_mean(precision, PRECISIONS)}")
    if not 1 <= batch <= 4096:
        raise UsageError(f"a batch has 1 to 4096 images, not {batch}")


def _head(name: str, precision: str, batch: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": name,
        "flash": __version__,
        "precision": precision,
        "batch": batch,
    }


def network_entry(text: str) -> dict[str, str]:
    """How measurements name a workload: ``space`` and ``design``, or ``workload``."""
    if ":" not in text or is_chain(text):
        return {"workload": text}
    space, _, design = text.partition(":")
    return {"space": space.strip(), "design": design.strip()}


def _entry(candidate: Candidate, file: str, share: float) -> dict[str, Any]:
    network = candidate.network
    return {
        "workload": candidate.text,
        "network": network_entry(candidate.text),
        "model": file,
        "macs": network.macs,
        "params": network.params,
        "share": float(f"{share:.4g}"),
    }


def _archive(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return stream.getvalue()
