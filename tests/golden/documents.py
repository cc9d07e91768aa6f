"""Which commands the golden documents are made by, and where the documents are kept.

Only command lines and files are used, no import from flash but of what takes a command line, so
that the documents outlive any change of its modules. What differs from run to run (seconds) or from
machine to machine (versions of libraries, bytes that hold them) is taken out of a document before
it is kept.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.metadata
import io
import json
import platform
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import fsum
from pathlib import Path
from typing import Any, Final

from flash.__main__ import _dispatch
from flash.command import run_command
from golden.comparing import Renamed, Values, flatten, matches

__all__ = ["DOCUMENTS", "Recipe", "made", "recorded", "recorded_versions", "renamed", "save"]

_FOLDER: Final = Path(__file__).resolve().parent
_ROOT: Final = _FOLDER.parents[1]
_MEASUREMENTS: Final = _ROOT / "hw_profiles" / "measurements" / "x86-avx512-1-thread.jsonl"

#: Fields that are left out: wall-clock times, versions, and hashes and sizes of bytes that hold
#: one of them. Patterns as in ``golden.comparing``.
LEFT_OUT: Final = (
    "export.manifest.flash",
    "export.manifest.onnx",
    "export.manifest.onnxruntime",
    "export.manifest.report.sha256",
    "export.manifest.designs[].builds[].sha256",
    "export.manifest.designs[].builds[].bytes",
)
#: A wall-clock time within a text, as in ``SHGO alone within 0 % (13,815 designs, 1.4 s)``.
_SECONDS: Final = re.compile(r"\b\d[\d.]*(?:e[-+]?\d+)? s\b")
_TEXTS_WITH_SECONDS: Final = ("search.optimizer.message",)
#: What the values can depend on beside flash itself.
_LIBRARIES: Final = ("moocore", "numpy", "onnx", "onnxruntime", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Recipe:
    """How one document is made.

    commands: run one after the other in an empty folder; the first word is the verb. The
              document belongs to the last one's verb.
    read:     the folder -> the document, after the last command.
    texts:    files written before: name -> content.
    copies:   files of the repository copied into the folder before.
    handmade: whether ``handmade.onnx`` is written before.
    needs:    modules of extras without which it cannot be made.
    """

    commands: tuple[str, ...]
    read: Callable[[Path], Any]
    texts: Mapping[str, str] = field(default_factory=dict)
    copies: tuple[Path, ...] = ()
    handmade: bool = False
    needs: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """The command that writes the document."""
        return self.commands[-1].split()[0]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _search(options: str) -> Recipe:
    return Recipe(
        (f"search {options} --out out --quiet",), lambda folder: _json(folder / "out/front.json")
    )


def _estimate(options: str, **given: Any) -> Recipe:
    before = given.pop("before", ())
    return Recipe(
        (*before, f"estimate {options} --json rows.json"),
        lambda folder: _json(folder / "rows.json"),
        **given,
    )


def _fit(folder: Path) -> dict[str, Any]:
    """The report, and the profile within it and in its file as TOML says they read."""
    report = _json(folder / "fit.json")
    report["profile"] = tomllib.loads(report["profile"])
    text = (folder / "golden.toml").read_text(encoding="utf-8")
    return {"report": report, "profile_file": tomllib.loads(text)}


def _export(folder: Path) -> dict[str, Any]:
    """The manifest, and what is in each file it lists."""
    manifest = _json(folder / "build" / "manifest.json")
    builds = [build for design in manifest["designs"] for build in design["builds"]]
    return {
        "manifest": manifest,
        "files": {build["file"]: _onnx(folder / "build" / build["file"]) for build in builds},
    }


def _onnx(path: Path) -> dict[str, Any]:
    """A model's nodes, and its weights as sums that change if any is changed or moved."""
    import onnx

    model = onnx.load(path)
    weights = {}
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        values = array.ravel().tolist()
        weights[tensor.name] = {
            "type": str(array.dtype),
            "shape": list(array.shape),
            "sum": fsum(values),
            "sum_of_magnitudes": fsum(map(abs, values)),
            "sum_by_position": fsum(i * value for i, value in enumerate(values, start=1)),
        }
    nodes = [
        {
            "name": node.name,
            "operator": node.op_type,
            "inputs": list(node.input),
            "outputs": list(node.output),
            "attributes": {
                a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute
            },
        }
        for node in model.graph.node
    ]
    return {"ir_version": model.ir_version, "nodes": nodes, "weights": weights}


def _plain(value: Any) -> Any:
    """An attribute as JSON has it."""
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, int | float | str) else list(value)


_ONNX: Final = ("onnx", "onnxruntime")
_CELLS: Final = """\
|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|
|avg_pool_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|
|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_3x3~1|nor_conv_1x1~2|
|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|avg_pool_3x3~0|none~1|none~2|
|none~0|+|none~0|avg_pool_3x3~1|+|nor_conv_3x3~0|avg_pool_3x3~1|nor_conv_1x1~2|
|none~0|+|none~0|none~1|+|none~0|none~1|none~2|
"""
_MACRO: Final = "22222222\n00000000\n22202200\n22100120\n02201110\n10111011\n"
_CONCAT: Final = """\
w=8,16,32 d=3,3,3 t=0,0,0
w=56,104,64 d=9,11,9 t=0,208,544
{"w1": 60, "d1": 8, "t1": 96, "w2": 24, "d2": 15, "t2": 80, "w3": 112, "d3": 18, "t3": 320}
{"w1": 12, "d1": 17, "t1": 40, "w2": 128, "d2": 15, "t2": 48, "w3": 208, "d3": 15, "t3": 64}
"""

DOCUMENTS: Final[Mapping[str, Recipe]] = {
    "search-concat-rpi3b": _search("--target rpi3b --space cifar10-concat"),
    "search-add-rpi4b-limits": _search(
        "--target rpi4b --space cifar10-add --max-latency 30ms --max-memory 4MB"
    ),
    "search-mobilenet-x86-exact": _search(
        "--target x86-avx512 --space cifar10-mobilenet-v2 --optimizer exact"
    ),
    "search-keywords-rpi4b": _search("--target rpi4b --space keywords-ds-cnn"),
    "search-concat-systolic": _search(
        "--target systolic --space cifar10-concat --certify-seconds 0"
    ),
    "search-concat-eyeriss-default": _search(
        "--target eyeriss-like --space cifar10-concat --hardware default"
    ),
    "search-concat-imc": _search("--target imc --space cifar10-concat --certify-seconds 0"),
    "estimate-nasbench201-rpi4b": _estimate(
        "--space nasbench201 --designs designs.txt --target rpi4b --runtime armnn",
        texts={"designs.txt": _CELLS},
    ),
    "estimate-macro-systolic": _estimate(
        "--space nasbench-macro --designs designs.txt --target systolic --hardware rows=16,cols=32",
        texts={"designs.txt": _MACRO},
    ),
    "estimate-concat-imc": _estimate(
        "--space cifar10-concat --designs designs.txt --target imc",
        texts={"designs.txt": _CONCAT},
    ),
    "estimate-onnx-edge-tpu": _estimate(
        "build/cifar10-mobilenet-v2-{fastest}.onnx --target edge-tpu-like",
        needs=_ONNX,
        before=(
            "search --target x86-avx512 --space cifar10-mobilenet-v2 --max-latency 1ms"
            " --optimizer exact --out out --quiet",
            "export out/front.json --design fastest --out build",
        ),
    ),
    "estimate-onnx-int8-rpi3b": _estimate(
        "build/cifar10-add-{fastest}-int8.onnx --target rpi3b",
        needs=_ONNX,
        before=(
            "search --target rpi4b --space cifar10-add --max-latency 5ms --optimizer exact"
            " --out out --quiet",
            "export out/front.json --design fastest --format onnx-int8 --out build",
        ),
    ),
    "estimate-onnx-handmade-x86": _estimate(
        "handmade.onnx --target x86-avx512 --input-shape 1x3x48x64", needs=_ONNX, handmade=True
    ),
    "fit-x86": Recipe(
        (f"fit {_MEASUREMENTS.name} --name golden --out golden.toml --json fit.json --quiet",),
        _fit,
        copies=(_MEASUREMENTS,),
        needs=("sklearn",),
    ),
    "export-concat-rpi3b": Recipe(
        (
            "search --target rpi3b --space cifar10-concat --max-latency 5ms --optimizer exact"
            " --out out --quiet",
            "export out/front.json --design balanced --out build",
        ),
        _export,
        needs=_ONNX,
    ),
}


def made(name: str, folder: Path) -> Values:
    """The document as flash makes it now, in an empty folder."""
    recipe = DOCUMENTS[name]
    for file, content in recipe.texts.items():
        (folder / file).write_text(content, encoding="utf-8")
    for path in recipe.copies:
        (folder / path.name).write_bytes(path.read_bytes())
    if recipe.handmade:
        from golden.handmade import write_handmade  # needs onnx

        write_handmade(folder / "handmade.onnx")
    for command in recipe.commands:
        _run(command, folder)
    return _lasting(flatten(recipe.read(folder), (recipe.verb,)))


def _run(command: str, folder: Path) -> None:
    """Run one command; ``{fastest}`` stands for the id of that design of the search before."""
    if "{fastest}" in command:
        picks = _json(folder / "out/front.json")["picks"]
        command = command.replace("{fastest}", picks["fastest"])
    said = io.StringIO()
    # In this process: numpy and scipy take longer to import than most commands to run.
    with contextlib.chdir(folder), contextlib.redirect_stderr(said):
        code = run_command(_dispatch, command.split())
    if code:
        raise RuntimeError(f"flash {command}: exit code {code}: {said.getvalue().strip()}")


def _lasting(values: Values) -> Values:
    """The values without those that differ from run to run."""
    return {
        path: _SECONDS.sub("... s", value)
        if isinstance(value, str) and any(matches(p, path) for p in _TEXTS_WITH_SECONDS)
        else value
        for path, value in values.items()
        if not any(matches(pattern, path) for pattern in LEFT_OUT)
    }


# ---------------------------------------------------------------------------------- storage
def renamed() -> Renamed:
    """The map of what was renamed since the documents were recorded."""
    return Renamed(**_json(_FOLDER / "renamed.json"))


def _stored(name: str) -> Any:
    return json.loads(gzip.decompress((_FOLDER / f"{name}.json.gz").read_bytes()))


def recorded(name: str) -> Values:
    """The document as it was recorded, under its names of then."""
    return flatten(_stored(name)["document"], (DOCUMENTS[name].verb,))


def recorded_versions(name: str) -> str:
    """Libraries whose versions were others when the document was recorded, or an empty text."""
    now, then = _versions(), _stored(name)["versions"]
    other = [
        f"{lib} {then[lib]} then, {now.get(lib)} now" for lib in then if then[lib] != now.get(lib)
    ]
    return "; ".join(other)


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            versions[library] = None
    return versions


def save(name: str, values: Values) -> None:
    """Keep these values as the document; the same values give the same bytes."""
    content = {"versions": _versions(), "document": _nested(values)}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    path = _FOLDER / f"{name}.json.gz"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _nested(values: Values) -> Any:
    """The document that flattens to these values."""
    root: dict[Any, Any] = {}
    for path, value in values.items():
        place = root
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    (document,) = root.values()
    return _with_lists(document)


def _with_lists(document: Any) -> Any:
    """Objects whose keys are positions as lists."""
    if not isinstance(document, dict):
        return document
    parts = [_with_lists(value) for value in document.values()]
    if any(isinstance(key, int) for key in document):
        return parts
    return dict(zip(document, parts, strict=True))
