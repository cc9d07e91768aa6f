"""What is trained: an ONNX file, a design of an export's manifest, or one of a front."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flash.errors import InputError, UsageError, did_you_mean
from flash.files.reading import read_json
from flash.report.reading import read_search
from flash.spaces.space import SearchSpace, load_space

__all__ = ["read_start"]

_PICKS = ("fastest", "balanced", "most_accurate")


def read_start(model: str | Path, design: str | None, space: str | None, seed: int) -> Any:
    """The ONNX model to start from; the weights of a design without any are drawn with ``seed``.

    Raises ``InputError`` or ``UsageError``.
    """
    path = Path(model)
    if path.suffix != ".json":
        if design is not None:
            raise UsageError("--design is for a front.json or a manifest.json")
        return _file(path)
    document = read_json(path)
    schema = str(document.get("schema", "")) if isinstance(document, dict) else ""
    if schema.startswith("flash.manifest/"):
        return _file(_exported(path, document, design))
    if not schema.startswith("flash.search/"):
        raise InputError(f"{path}: neither an ONNX file, a front.json nor a manifest.json")
    return _of_front(path, design or "balanced", space, seed)


def _file(path: Path) -> Any:
    from flash.backends import variants_model  # noqa: PLC0415 (an extra)

    return variants_model(path)


def _exported(path: Path, document: dict[str, Any], design: str | None) -> Path:
    try:
        entries = {entry["id"]: entry for entry in document["designs"]}
        chosen = next(iter(entries)) if design is None and len(entries) == 1 else design
        if chosen not in entries:
            raise UsageError(f"{path}: give the design's id{did_you_mean(chosen or '', entries)}")
        builds = {build["format"]: build["file"] for build in entries[chosen]["builds"]}
    except (KeyError, TypeError, StopIteration):
        raise InputError(f"{path}: no manifest of flash.export") from None
    if "onnx" not in builds:
        raise UsageError(f"{path}: design {chosen} was not exported with --format onnx")
    return path.parent / Path(builds["onnx"]).name


def _of_front(path: Path, word: str, space: str | None, seed: int) -> Any:
    report = read_search(path.read_text(encoding="utf-8"), str(path))
    identity = getattr(report.picks, word) if word in _PICKS else word
    by_id = {design.id: design for design in report.front}
    if identity not in by_id:
        raise UsageError(f"{path} has no design '{word}'{did_you_mean(word, [*_PICKS, *by_id])}")
    beside = path.parent / f"{report.space.name}.toml"
    where = load_space(space or (str(beside) if beside.is_file() else report.space.name))
    return _network(where, dict(by_id[identity].design), seed)


def _network(space: SearchSpace, design: dict[str, int], seed: int) -> Any:
    from flash.backends import (  # noqa: PLC0415 (extras)
        network_model,
        random_weights,
        variant_of,
    )

    if space.family.model_file is not None:
        return variant_of(space.family.checked_model_file(), space.family.cutting(design))
    network = space.network(space.design(design)).live()
    model = network_model(network, random_weights(network, seed), space.name)
    model.metadata_props.add(key="flash.design", value=json.dumps(design))
    return model
