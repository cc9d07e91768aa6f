"""The shipped profiles of x86 machines, judged by networks of kinds that they were not fitted to.

    python scripts/validate/x86.py [--machine x86-avx2] [--graphs DIR] [--write FILE.toml]

``x86-epyc`` (Zen 5, AVX-512), ``x86-zen4``, ``x86-avx2`` (Zen 3) and ``x86-xeon`` are fitted to a
suite of flash (chains, blocks, designs of its spaces) measured on one thread of a virtual machine
that others used, in processor time (``flash profile --processor-time``): a thread that is stopped
does not age. Networks of ``any_model.py`` were measured the same way and take no part in the fit;
their latencies are in ``MACHINE-any-model.csv``. Printed are errors by kind and how many lie in the
interval that the other kinds' errors give. ``--write`` writes the profile with the interval of
these errors and those of the suite's own networks together.

``x86-avx2`` and ``x86-zen4`` have int8 besides: a suite of convolutional networks in QDQ form and,
never fitted, those networks quantized so; ``x86-avx2`` networks quantized dynamically, too, which
are few and all fitted.

Needs torch and timm (five minutes; ``--graphs`` keeps what they export).
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.backends import read_onnx
from flash.fit import fit
from flash.fitting.fitted import interval_of, quality
from flash.fitting.intervals import conformal_factors
from flash.fitting.learning import learn
from flash.fitting.prior import profile_prior, unknown_prior
from flash.fitting.selection import candidates, folds_of
from flash.fitting.structure import Structure, known_structure
from flash.fitting.workload import workload
from flash.measurements.reading import read_measurements
from flash.spaces.network import Network
from flash.targets.processor.costs import network_costs, network_features
from flash.targets.processor.intervals import latency_interval
from flash.targets.processor.profile import BYTES, Profile, Runtime
from flash.targets.processor.profile_file import write_profile

PLACE = Path(__file__).resolve().parents[2] / "hw_profiles" / "measurements"
#: Machine -> its description.
MACHINES = {
    "x86-epyc": "x86_64, AMD EPYC (Zen 5, AVX-512), one thread of a virtual machine",
    "x86-avx2": "x86_64, AMD EPYC (Zen 3, AVX2), one thread of a virtual machine",
    "x86-zen4": "x86_64, AMD EPYC (Zen 4, AVX-512), one thread of a virtual machine",
    "x86-xeon": "x86_64, Intel Xeon (AVX-512, AMX), one thread of a virtual machine",
}
#: Precision -> the column of its latencies.
COLUMNS = {"fp32": "latency_ms", "int8": "int8_ms", "int8_dynamic": "int8_dynamic_ms"}
#: The fusion that networks quantized dynamically are fitted with: with "blocks" the 19 that were
#: measured are predicted to 54.7 % in the median when left out, with this to 50.4 %.
DYNAMIC = "sum"
#: A network of fewer distinct kernels is a kernel measured alone, or nearly.
WHOLE = 6
Floats = NDArray[np.float64]


def suites(machine: str) -> list[Path]:
    """Its measured suites, fp32 first."""
    return sorted(PLACE.glob(f"{machine}-*.jsonl"), key=lambda path: len(path.name))


def measured(machine: str, precision: str) -> dict[str, float]:
    """Latencies (ms) of the networks that were measured beside the suites."""
    with (PLACE / f"{machine}-any-model.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    column = COLUMNS[precision]
    return {row["network"]: float(row[column]) for row in rows if row.get(column)}


def others(
    machine: str, graphs: Path, precision: str = "fp32"
) -> Iterator[tuple[str, float, Network]]:
    """Name, measured latency (ms) and graph of every network that was measured beside the suites.

    graphs: a folder in which exported files are kept.
    """
    latency_ms = measured(machine, precision)
    missing = [name for name in latency_ms if not _file(graphs, name).exists()]
    if missing:
        _export_all(missing, graphs)
    for name, value in latency_ms.items():
        path = _file(graphs, name)
        if precision != "fp32":
            path = _quantized(path, graphs / precision, precision)
        yield name, value, read_onnx(path)


def _file(graphs: Path, name: str) -> Path:
    return graphs / f"{name.replace('/', '__')}.onnx"


def _export_all(names: Sequence[str], graphs: Path) -> None:
    import torch  # noqa: PLC0415 (an extra)
    from any_model import _export, _timm  # noqa: PLC0415
    from any_model_networks import NETWORKS  # noqa: PLC0415

    graphs.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name, make in (*NETWORKS.items(), *_timm()):
        if name in names:
            module, inputs = make()
            _export(module.eval().requires_grad_(False), inputs, _file(graphs, name), False)


def _quantized(path: Path, folder: Path, precision: str) -> Path:
    """The model quantized by onnxruntime: in QDQ form from one random input, or dynamically."""
    from onnxruntime import InferenceSession, quantization  # noqa: PLC0415 (an extra)
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    made = folder / path.name
    if made.exists():
        return made
    if precision == "int8_dynamic":
        quantization.quantize_dynamic(path, made, weight_type=quantization.QuantType.QInt8)
        return made
    prepared = folder / f"{path.stem}.prepared.onnx"
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    rng, feed = np.random.default_rng(0), {}
    for given in InferenceSession(prepared, providers=["CPUExecutionProvider"]).get_inputs():
        values = rng.standard_normal([d if isinstance(d, int) else 1 for d in given.shape])
        kind = {"tensor(float)": "float32", "tensor(int64)": "int64"}[given.type]
        feed[given.name] = values.astype(kind) if kind == "float32" else (values > 1).astype(kind)

    class Once(quantization.CalibrationDataReader):  # type: ignore[misc]  # has no types
        """One input."""

        def __init__(self) -> None:
            self._feeds: Iterator[dict[str, Any]] = iter([feed])

        def get_next(self) -> dict[str, Any] | None:
            """The input, then None."""
            return next(self._feeds, None)

    quantization.quantize_static(
        prepared, made, Once(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
    )  # fmt: skip
    prepared.unlink()
    return made


def left_out(suite: Path) -> Floats:
    """Log residuals of the suite's whole networks, each fold predicted by a fit without it."""
    file = read_measurements(suite, "", 10)
    known = known_structure(file.header)
    assert isinstance(known, Structure)
    networks = [row.network for row in file.rows]
    bytes_ = BYTES[str(file.header.get("precision", "fp32"))]
    load = workload(networks, known.executes, bytes_, known.fusion, known.lanes)
    candidate = candidates(unknown_prior(), processor=True)[0]
    folds = folds_of([str(k) for k in range(len(networks))])
    found = np.zeros(len(networks))
    for fold, latency_ms in zip(
        folds, candidate.left_out(load, file.latency_ms, folds), strict=True
    ):
        found[fold] = latency_ms
    return np.log(file.latency_ms / found)[load.distinct() >= WHOLE]


def covered(names: Sequence[str], residuals: Floats) -> NDArray[np.bool_]:
    """Which networks lie inside the interval that the errors of the other kinds give.

    names: of networks, the kind in front; residuals: log(measured / predicted).
    """
    kinds = np.array([name.split("/")[0] for name in names])
    inside = np.zeros(len(names), dtype=np.bool_)
    for kind in sorted(set(kinds)):
        own = kinds == kind
        low, high = conformal_factors(residuals[~own])
        inside[own] = (residuals[own] >= np.log(low)) & (residuals[own] <= np.log(high))
    return inside


def show(names: Sequence[str], truth: Floats, predicted: Floats) -> None:
    """Errors by kind, and coverage of each kind by the interval of the others."""
    kinds = np.array([name.split("/")[0] for name in names])
    inside = covered(names, np.log(truth / predicted))
    rows = zip(names, truth, predicted, strict=True)
    for name, m, p in sorted(rows, key=lambda x: x[2] / x[1]):
        print(f"{name:44s}{m:10.4f} ms measured {p:10.4f} predicted   {p / m:5.2f}")
    for kind in sorted(set(kinds)):
        own = kinds == kind
        error = 100 * np.median(np.abs(predicted[own] / truth[own] - 1))
        print(f"{kind:14s}{own.sum():4d} networks   median error {error:5.1f} %")
    print(
        "all",
        quality(truth, predicted),
        f"inside the other kinds' interval {inside.mean():.1%}",
    )


def judged(profile: Profile, suite: Path, graphs: Path, machine: str) -> Runtime:
    """The runtime in use with the interval of these networks' errors beside those of the suite's.

    Prints the errors, and how many lie inside that interval.
    """
    runtime = profile.runtime
    names, truth, guess, totals = list[str](), list[float](), list[float](), []
    for name, latency_ms, network in others(machine, graphs, runtime.precision):
        names.append(name)
        truth.append(latency_ms)
        guess.append(network_costs(network, profile)["latency_ms"])
        totals.append(network_features(network, profile))
    residuals = np.log(np.array(truth) / np.array(guess))
    print(f"--- {machine}:{runtime.name}")
    show(names, np.array(truth), np.array(guess))
    was = runtime.interval
    near = np.concatenate([left_out(suite), residuals])
    own = replace(
        runtime,
        interval=interval_of(was.bounding_box, near, residuals, was.classes),
        provenance=replace(
            runtime.provenance,
            held_out=f"10 folds; interval, outside: {len(names)} networks of other kinds besides",
            sources=(
                f"measured: {suite.name}, in processor time of its thread (a shared machine)",
                f"measured: {machine}-any-model.csv (scripts/validate/x86.py)",
                *runtime.provenance.sources[1:],
            ),
        ),
    )
    made = replace(profile, runtimes={**profile.runtimes, own.name: own})
    inside = 0
    for m, p, features in zip(truth, guess, totals, strict=True):
        low, high, _ = latency_interval(np.array([p]), features, made)
        inside += int(low[0] <= m <= high[0])
    print(f"inside the shipped interval, which knows them: {inside / len(names):.1%}")
    return own


def dynamic(fp32: Runtime, graphs: Path, machine: str) -> Runtime:
    """Networks quantized dynamically, fitted near the runtime of floats."""
    found = list(others(machine, graphs, "int8_dynamic"))
    latency_ms = np.array([ms for _, ms, _ in found])
    learned = learn(
        [network for _, _, network in found],
        [name.split("/")[0] for name, _, _ in found],
        latency_ms,
        None,
        profile_prior(fp32.coefficients),
        known=Structure(fp32.executes, DYNAMIC, fp32.lanes),
        baselines=False,
    )
    print(f"--- {machine}:{fp32.name}_int8_dynamic", learned.figures, learned.coverage)
    return replace(
        fp32,
        name=f"{fp32.name}_int8_dynamic",
        precision="int8_dynamic",
        fusion=DYNAMIC,
        coefficients=learned.variants[0].coefficients,
        interval=learned.interval,
        provenance=replace(
            fp32.provenance,
            networks=len(found),
            held_out="each network",
            sources=(f"measured: {machine}-any-model.csv (scripts/validate/x86.py)",),
            median_error_percent=learned.figures["median_error_percent"],
            mape_percent=learned.figures["mape_percent"],
            spearman=learned.figures["spearman"],
        ),
    )


def shipped(machine: str, graphs: Path) -> Profile:
    """The profile of a machine; prints the errors of each runtime."""
    files = suites(machine)
    profile = fit(files, machine).profile
    runtimes = {
        name: judged(profile.select(name), suite, graphs, machine)
        for name, suite in zip(profile.runtimes, files, strict=True)
    }
    if measured(machine, "int8_dynamic"):
        own = dynamic(next(iter(runtimes.values())), graphs, machine)
        runtimes[own.name] = own
    return replace(profile, description=MACHINES[machine], runtimes=runtimes)


def main() -> int:
    """Print a line a network and a kind; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--machine", choices=MACHINES, default="x86-epyc", help="(%(default)s)")
    parser.add_argument("--graphs", metavar="DIR", help="exported files are kept there")
    parser.add_argument("--write", metavar="FILE.toml", help="write the profile there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = shipped(options.machine, Path(options.graphs or folder))
    if options.write:
        write_profile(made, Path(options.write), "Written by scripts/validate/x86.py.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
