"""``python -m flash.export``: designs of a search's front -> files to ship, with a manifest.

From Python: ``report = export("flash-out/latest/front.json", ["balanced"], out="build")``.

The same inputs give the same bytes, ``measured_here`` in the manifest aside. The manifest,
``manifest.json`` of schema ``flash.manifest/1``, holds

* ``flash``, ``onnx``, ``onnxruntime``: versions; ``seed``; ``formats``;
* ``report``: name and SHA-256 of the report exported from; ``space``; ``target`` with the
  provenance of its cost model;
* ``designs``: for each, ``id``, ``picks`` it is, ``design``, ``description``, ``params``,
  ``macs``, the expected ``latency_ms`` and ``energy_mj`` with their intervals, ``extrapolated``,
  ``weights`` (how they came about) and ``builds``, one a format: ``format``, ``file`` with
  ``sha256`` and ``bytes``, ``input`` and ``output`` (name, shape, type), ``verified`` (what was
  checked before it was written), and

  - onnx, onnx-int8: ``opset``;
  - onnx-int8: ``calibration`` (source, SHA-256 and number of images), ``output_error`` against
    fp32 on images held out of calibration (``relative_rms``, ``largest``,
    ``same_first_class``), ``size_ratio``, and ``measured_here`` (fp32 and int8 in turns);
  - torch: ``torch``, ``load``;
  - tvm: ``machine`` (LLVM's triple and CPU), ``linker``, ``tvm``, ``run`` and ``needs`` (how to
    run it there), ``tuned_trials``, and ``measured_here`` (TVM and onnxruntime; null for
    another machine's library). The expected latency is of the profile's runtime, which an
    untuned library does not come near.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flash import __version__
from flash.backends.tvm.machine import Machine
from flash.backends.weights import Weights, random_weights
from flash.command import CommandParser
from flash.errors import InputError, UsageError, did_you_mean
from flash.export.calibration import load_images
from flash.export.exporter import EXPORTERS, find_formats
from flash.export.order import Order
from flash.export.page import HTML, export_page
from flash.export.report import ExportReport
from flash.export.trained import preprocessing_beside, read_weights
from flash.export.variant import cut_variant, is_variant
from flash.files.reading import read_input
from flash.files.results import put_result, refuse_others_files
from flash.files.writing import write_folder
from flash.quantities import parse_seed, parse_whole
from flash.report.design import DesignReport
from flash.report.reading import read_search
from flash.report.result import SearchReport
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace, load_space
from flash.targets.machine import machine_of

if TYPE_CHECKING:
    from flash.backends.tvm.tuning import Tuning

__all__ = ["SCHEMA", "main", "export"]

SCHEMA = "flash.manifest/1"
_PICKS = ("fastest", "balanced", "most_accurate")


def export(
    report: str | Path,
    designs: Sequence[str] = ("balanced",),
    out: str | Path = "build",
    *,
    format: str | Sequence[str] = "onnx",  # the command's option of this name
    space: str | None = None,
    weights: str | Path | None = None,
    calibration: str | Path | None = None,
    target: str | None = None,
    tune_trials: int = 0,
    tune_log: str | Path | None = None,
    verify_with: str = "",
    seed: int = 0,
) -> ExportReport:
    """Write the designs as ``<space>-<id>...`` with ``manifest.json`` into a folder.

    report:  ``front.json`` of a search; "-" reads standard input.
    designs: ids, or "fastest", "balanced", "most_accurate".
    format:  one or more of ``flash.export.exporter.EXPORTERS``.
    space:   the space's file, where it is none that comes with flash.
    weights: trained weights of the one design (see ``flash.export.trained.read_weights``); else
             they are random.
    calibration: images for int8 (see ``flash.export.calibration.load_images``); else noise.
    target:  what TVM compiles for, "host" or a profile; the report's target if not given.
    tune_trials: variants TVM measures before it builds; ``tune_log``: the folder they are kept
             in, ``OUT/tuning`` if not given, from which a later run goes on.
    verify_with: command that starts a Python with TVM on the target (an emulator, say), to run
             the library TVM built.
    seed:    of random weights, of noise, and of the verifying input.

    Nothing is written unless every model passes ONNX's checker and
    strict shape inference, runs in onnxruntime to finite numbers of the declared shape, and
    every other format agrees with that. Raises ``UsageError`` (unknown design, folder that
    cannot be written, missing extra) or ``InputError`` (a report that is damaged or does not
    fit the space, weights or images that do not fit the design).
    """
    formats = find_formats(format)
    if not designs:
        raise UsageError("name at least one design")
    text = read_input(report)
    name = "standard input" if str(report) == "-" else str(report)
    found = read_search(text, name)
    chosen = list(dict.fromkeys(_identify(found, word, name) for word in designs))
    if weights is not None and len(chosen) > 1:
        raise UsageError("--weights are those of one design: export one at a time")
    where = _space(found, space, name)
    extra: dict[str, Any] = {}
    if any(EXPORTERS[format].compiles for format in formats):
        machine = machine_of(target or str(found.target["name"]))
        machine.check_linker()
        extra = {"machine": machine, "run_with": verify_with}
        if tune_trials:
            extra["tuning"] = _tuning(machine, tune_trials, tune_log or Path(out) / "tuning", seed)
    by_id = {design.id: design for design in found.front}
    contents: dict[str, str | bytes] = {}
    entries = []
    for identity in chosen:
        network = _network(where, by_id[identity], name)
        stem = f"{_file_name(where.name)}-{identity}"
        design = by_id[identity].design
        order = _order(where, design, network, stem, weights, calibration, seed)
        order = replace(order, **extra, preprocessing=preprocessing_beside(weights))
        builds = [(format, EXPORTERS[format].build(order)) for format in formats]
        for _, build in builds:
            contents |= build.files
        listed = [build.to_dict(format) for format, build in builds]
        entry = _entry(found, by_id[identity])
        if order.preprocessing is not None:
            entry["preprocessing"] = dict(order.preprocessing)
        entries.append(entry | {"weights": order.weights_from, "builds": listed})
    manifest = _head(found, name, text, seed, formats) | {"designs": entries}
    contents["manifest.json"] = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    refuse_others_files(out, contents)
    write_folder(out, contents)
    return ExportReport(Path(out), manifest)


def _tuning(machine: Machine, trials: int, log: str | Path, seed: int) -> Tuning:
    from flash.backends import Tuning  # noqa: PLC0415 (an extra)

    if not machine.is_host:
        raise UsageError(
            f"tuning measures on the machine it is for, and {machine.name} is another: "
            "leave --tune-trials out, or give --target host"
        )
    return Tuning(trials, Path(log), seed)


# --------------------------------------------------------------------------- from the report
def _identify(report: SearchReport, word: str, name: str) -> str:
    if word in _PICKS:
        identity: str = getattr(report.picks, word)
        return identity
    ids = {design.id for design in report.front}
    if word not in ids:
        hint = did_you_mean(word, {*ids, *_PICKS})
        if "did you mean" not in hint:
            hint = f" (known: {', '.join(_PICKS)}, or one of its {len(ids):,} ids)"
        raise UsageError(f"{name} has no design '{word}'{hint}")
    return word


def _space(report: SearchReport, given: str | None, name: str) -> SearchSpace:
    # With hardware searched the name is that of the networks and of the chips.
    networks, hardware, _ = report.space.name.partition(" x ")
    try:
        space = load_space(given or networks)
    except UsageError as error:
        if given:
            raise
        raise UsageError(
            f"{name} is of space '{networks}', which does not come with flash: give its "
            f"file with --space ({error})"
        ) from None
    size = report.space.size
    if size % space.size if hardware else size != space.size:
        raise InputError(
            f"{name} is of a space '{report.space.name}' with {report.space.size:,} designs; "
            f"{given or space.name} has {space.size:,}"
        )
    return space


def _network(space: SearchSpace, design: DesignReport, name: str) -> Network:
    """The design's network, if it is the one the report speaks of."""
    try:
        indices = space.design(design.design)
    except InputError as error:
        raise InputError(f"{name}: design {design.id}: {error}") from None
    network = space.network(indices)
    # Where a chip was searched too, its number stands before that of the network.
    reported = (design.id.rpartition("-")[2], design.params, design.macs)
    if (space.identify(indices), network.params, network.macs) != reported:
        raise InputError(
            f"{name}: design {design.id} does not have the id, params and MACs that space "
            f"{space.name} gives it: the report was made with another space or changed since"
        )
    return network


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or "network"


# ----------------------------------------------------------------------------- what is written
def _order(
    space: SearchSpace,
    design: Mapping[str, int],
    network: Network,
    stem: str,
    weights: str | Path | None,
    calibration: str | Path | None,
    seed: int,
) -> Order:
    if is_variant(space):
        model, source = cut_variant(space, design, weights)
        order = Order(network, stem, {}, source, seed, cut=model)
        if calibration is None:
            return order
        return replace(order, images=load_images(calibration, order.shape))
    given: Weights = random_weights(network, seed)
    source = f"random (He normal), seed {seed}; batch norms are the identity"
    if weights is not None:
        given, source = read_weights(weights, network)
    order = Order(network, stem, given, source, seed)
    if calibration is None:
        return order
    return replace(order, images=load_images(calibration, order.shape))


def _entry(report: SearchReport, design: DesignReport) -> dict[str, Any]:
    energy = design.energy_mj
    return {
        "id": design.id,
        "picks": [pick for pick in _PICKS if getattr(report.picks, pick) == design.id],
        "design": dict(design.design),
        **({"hardware": dict(design.hardware)} if design.hardware else {}),
        "description": design.description,
        "params": design.params,
        "macs": design.macs,
        "latency_ms": design.latency_ms.to_dict(),
        "energy_mj": None if energy is None else energy.to_dict(),
        "extrapolated": design.extrapolated,
    }


def _head(
    report: SearchReport, name: str, text: str, seed: int, formats: Sequence[str]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "flash": __version__,
        "onnx": version("onnx"),
        "onnxruntime": version("onnxruntime"),
        "formats": list(formats),
        "seed": seed,
        "report": {"file": Path(name).name, "sha256": hashlib.sha256(text.encode()).hexdigest()},
        "space": report.space.to_dict(),
        "target": dict(report.target),
    }


# ------------------------------------------------------------------------- the command line
def _parser() -> CommandParser:
    parser = CommandParser(
        "export",
        "Designs of a search's front as files to ship, each checked, with a manifest.",
    )
    add = parser.add_argument
    add("report", metavar="front.json", help="what flash.search wrote; '-' reads stdin")
    add("--design", metavar="D", help="an id, fastest, balanced (default) or most_accurate")
    add("--designs", metavar="A,B", help="several of them")
    known = f"{', '.join((*EXPORTERS.builtin, HTML))}; flash list formats: all"
    add("--format", default="onnx", metavar="F,G", help=f"{known} (%(default)s)")
    add("--out", default="build", metavar="DIR", help="folder for the files (%(default)s)")
    add("--space", metavar="FILE", help="the space's file, if it is your own")
    add("--weights", metavar="FILE", help="trained weights, .npz or .pt (random)")
    add("--calibration", metavar="DIR", help="images for int8: .npy, .npz or a folder (noise)")
    add("--target", metavar="T", help="for tvm: host or a profile (the report's target)")
    add("--tune-trials", default="0", metavar="N", help="for tvm: variants to measure (none)")
    add("--tune-log", metavar="DIR", help="for tvm: folder of measured variants (OUT/tuning)")
    add("--verify-with", default="", metavar="CMD", help="for tvm: runs the target's Python here")
    add("--seed", default="0", metavar="N", help="seed of weights and noise (%(default)s)")
    add("--json", metavar="FILE", help="write the manifest to FILE too, or to stdout with '-'")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    if options.design and options.designs:
        raise UsageError("give --design or --designs, not both")
    seed = parse_seed(options.seed)
    tune_trials = parse_whole(options.tune_trials, "--tune-trials")
    formats = options.format.split(",")
    if HTML in formats:
        page = export_page(
            options.report, options.out, space=options.space, target=options.target, seed=seed
        )
        (sys.stderr if options.json == "-" else sys.stdout).write(f"written: {page}\n")
        formats = [name for name in formats if name != HTML]
        if not formats:
            return
    words = (options.designs or options.design or "balanced").split(",")
    done = export(
        options.report,
        words,
        options.out,
        format=formats,
        space=options.space,
        weights=options.weights,
        calibration=options.calibration,
        target=options.target,
        tune_trials=tune_trials,
        tune_log=options.tune_log,
        verify_with=options.verify_with,
        seed=seed,
    )
    if options.json == "-":
        sys.stdout.write(done.to_json())
        return
    if options.json:
        put_result(options.json, done.to_json())
    sys.stdout.write("\n".join(done.lines()) + "\n")
