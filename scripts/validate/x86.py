"""The shipped profile of an x86 machine, judged by networks of kinds that it was not fitted to.

    python scripts/validate/x86.py [--write FILE.toml]

``x86-epyc`` is fitted to a suite of flash (chains, blocks, designs of its spaces) measured on one
thread of an AMD EPYC (Zen 5) virtual machine, in processor time, as others used the machine: a
thread that is stopped does not age. 57 networks of ``any_model.py`` were measured the same way and
take no part in the fit; their latencies are in ``x86-epyc-any-model.csv``. Printed are the errors
by kind and how many lie inside the interval that the other kinds' errors give. ``--write`` writes
the profile with the interval of these errors and those of the suite's own networks together; needs
torch and timm (five minutes).
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from any_model import _export, _timm
from any_model_networks import NETWORKS
from numpy.typing import NDArray

from flash.backends import read_onnx
from flash.fit import fit
from flash.fitting.fitted import interval_of, quality
from flash.fitting.intervals import conformal_factors
from flash.fitting.prior import unknown_prior
from flash.fitting.selection import candidates, folds_of
from flash.fitting.structure import Structure, known_structure
from flash.fitting.workload import workload
from flash.measurements.reading import read_measurements
from flash.spaces.network import Network
from flash.targets.processor.costs import network_costs, network_features
from flash.targets.processor.intervals import latency_interval
from flash.targets.processor.profile import Profile
from flash.targets.processor.profile_file import write_profile

PLACE = Path(__file__).resolve().parents[2] / "hw_profiles" / "measurements"
SUITE = PLACE / "x86-epyc-1-thread.jsonl"
OTHERS = PLACE / "x86-epyc-any-model.csv"
#: A network of fewer distinct kernels is a kernel measured alone, or nearly.
WHOLE = 6
Floats = NDArray[np.float64]


def others() -> Iterator[tuple[str, float, Network]]:
    """Name, measured latency (ms) and graph of every network that was measured beside the suite."""
    with OTHERS.open(encoding="utf-8") as file:
        measured = {row["network"]: float(row["latency_ms"]) for row in csv.DictReader(file)}
    torch.manual_seed(0)
    for name, make in (*NETWORKS.items(), *_timm()):
        if name not in measured:
            continue
        module, inputs = make()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            _export(module.eval().requires_grad_(False), inputs, path, False)
            yield name, measured[name], read_onnx(path)


def left_out() -> Floats:
    """Log residuals of the suite's whole networks, each fold predicted by a fit without it."""
    file = read_measurements(SUITE, "", 10)
    known = known_structure(file.header)
    assert isinstance(known, Structure)
    networks = [row.network for row in file.rows]
    load = workload(networks, known.executes, 4, known.fusion, known.lanes)
    candidate = candidates(unknown_prior(), processor=True)[0]
    folds = folds_of([str(k) for k in range(len(networks))])
    found = np.zeros(len(networks))
    for fold, latency_ms in zip(
        folds, candidate.left_out(load, file.latency_ms, folds), strict=True
    ):
        found[fold] = latency_ms
    return np.log(file.latency_ms / found)[load.distinct() >= WHOLE]


def covered(names: list[str], residuals: Floats) -> NDArray[np.bool_]:
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


def show(names: list[str], measured: Floats, predicted: Floats) -> None:
    """Errors by kind, and coverage of each kind by the interval of the others."""
    kinds = np.array([name.split("/")[0] for name in names])
    inside = covered(names, np.log(measured / predicted))
    for name, m, p in sorted(
        zip(names, measured, predicted, strict=True), key=lambda x: x[2] / x[1]
    ):
        print(f"{name:44s}{m:10.4f} ms measured {p:10.4f} predicted   {p / m:5.2f}")
    for kind in sorted(set(kinds)):
        own = kinds == kind
        error = 100 * np.median(np.abs(predicted[own] / measured[own] - 1))
        print(f"{kind:14s}{own.sum():4d} networks   median error {error:5.1f} %")
    print(
        "all",
        quality(measured, predicted),
        f"inside the other kinds' interval {inside.mean():.1%}",
    )


def shipped(profile: Profile, residuals: Floats) -> Profile:
    """With the interval of these networks' errors beside those of the suite's own."""
    runtime = profile.runtime
    near = np.concatenate([left_out(), residuals])
    was = runtime.interval
    interval = interval_of(was.bounding_box, near, residuals, was.classes)
    how = f"10 folds; interval and outside: {len(residuals)} networks of other kinds besides"
    sources = (
        "measured: x86-epyc-1-thread.jsonl, in processor time of its thread (a shared machine)",
        "measured: x86-epyc-any-model.csv (scripts/validate/x86.py)",
    )
    own = replace(
        runtime,
        interval=interval,
        provenance=replace(runtime.provenance, held_out=how, sources=sources),
    )
    return replace(
        profile,
        description="x86_64, AMD EPYC (Zen 5, AVX-512), one thread of a virtual machine",
        runtimes={own.name: own},
    )


def main() -> int:
    """Print a line a network and a kind; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", metavar="FILE.toml", help="write the profile there")
    options = parser.parse_args()
    profile = fit([SUITE], "x86-epyc").profile
    names, measured, predicted, totals = [], [], [], []
    for name, latency_ms, network in others():
        names.append(name)
        measured.append(latency_ms)
        predicted.append(network_costs(network, profile)["latency_ms"])
        totals.append(network_features(network, profile))
    truth, guess = np.array(measured), np.array(predicted)
    show(names, truth, guess)
    made = shipped(profile, np.log(truth / guess))
    inside = 0
    for m, p, features in zip(measured, predicted, totals, strict=True):
        low, high, _ = latency_interval(np.array([p]), features, made)
        inside += int(low[0] <= m <= high[0])
    print(f"inside the shipped interval, which knows them: {inside / len(names):.1%}")
    if options.write:
        write_profile(made, Path(options.write), "Written by scripts/validate/x86.py.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
