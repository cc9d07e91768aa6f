"""What linear models cost: area, latency and energy as sums of features, as FLASH fits them.

    python scripts/validate/linear_models.py [--designs 400]

FLASH (Li et al., ACM TECS 2021) fits linear models of a few features to simulated designs.
Here the simulator is flash's own detailed model. For each target, random networks on random
chips of the family are priced in detail, a linear model is fitted to 80 % of them by least
squares (weights 1/value, so that the relative error is what is small), and the table shows its
error on the held-out 20 %. The features are ours, FLASH's own list could not be read:

network:  MACs, weights, activations written, layers
chip:     each of those over the chip's parallelism, area-like terms, constant

The second fit is on one chip, the family's default, with the network's features alone; there a
linear model has the least to explain.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from numpy.typing import NDArray

from flash.evaluation import Evaluation, evaluate, evaluate_on_chips
from flash.search.problem.joint_space import CoSpace, joint_space
from flash.spaces.space import SearchSpace, load_space
from flash.targets import load_hardware

Floats = NDArray[np.float64]
QUANTITIES = ("latency_ms", "energy_mj", "area_mm2")


def network_features(space: SearchSpace, found: Evaluation, indices: NDArray[np.int64]) -> Floats:
    """(designs, 5): constant, GMAC, million weights, million activations, layers."""
    table = space.table(indices)
    written = table.out_elements.sum(axis=0) / 1e6
    return np.stack(
        [np.ones(len(indices)), found.macs / 1e9, found.params / 1e6, written,
         table.active.sum(axis=0).astype(np.float64)], axis=1,
    )  # fmt: skip


def chip_features(space: CoSpace, indices: NDArray[np.int64], network: Floats) -> Floats:
    """The network's features, the same over the chip's parallelism, and sizes of the chip."""
    chips = [space.chips[k] for k in space.split(indices)[0]]
    values = {name: np.array([chip[name] for chip in chips], float) for name in chips[0]}
    if "columns_per_adc" in values:  # crossbar tiles
        parallel = values["rows"] * values["columns"] / values["columns_per_adc"]
        sizes = [values["crossbars_per_tile"], values["noc_bits"], values["mvm_limit"],
                 values["adc_bits"], network[:, 2] * values["crossbars_per_tile"],
                 network[:, 2] / values["columns_per_adc"]]  # fmt: skip
    else:
        parallel = values["rows"] * values["cols"]
        sizes = [parallel, values["rows"] + values["cols"], values["buffer_kib"]]
        sizes += [(values["dataflow"] == k).astype(float) for k in (1, 2)]
    return np.concatenate([network, network / parallel[:, None], np.stack(sizes, axis=1)], axis=1)


def held_out(features: Floats, values: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    """Relative errors on a held-out fifth, and Spearman's rank correlation there."""
    order = rng.permutation(len(values))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    scaled = features / np.maximum(np.abs(features[train]).max(axis=0), 1e-30)
    weights = 1 / values[train]
    solution = np.linalg.lstsq(scaled[train] * weights[:, None], np.ones(len(train)), rcond=None)[0]
    predicted = scaled[test] @ solution
    ours, theirs = (np.argsort(np.argsort(v)) for v in (predicted, values[test]))
    return predicted / values[test] - 1, float(np.corrcoef(ours, theirs)[0, 1])


def show(label: str, features: Floats, found: Evaluation, skip: tuple[str, ...] = ()) -> None:
    rng = np.random.default_rng(1)
    for name in QUANTITIES:
        if name in skip:
            continue
        errors, rank = held_out(features, found.quantity(name), rng)
        size = np.abs(errors)
        print(
            f"{label:<28}{name:<12}{np.median(size):8.1%}{size.mean():8.1%}"
            f"{np.quantile(size, 0.95):8.1%}{size.max():9.1%}{rank:10.3f}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=400, help="priced (%(default)s)")
    options = parser.parse_args()
    network_space = load_space("cifar10-concat")
    print(f"{'fitted to':<28}{'quantity':<12}{'median':>8}{'mean':>8}{'95 %':>8}{'worst':>9}"
          f"{'Spearman':>10}")  # fmt: skip
    for name in ("systolic", "imc"):
        rng = np.random.default_rng(20260714)
        family = load_hardware(name)
        space = joint_space(network_space, family, None)
        if space is None:
            continue
        indices = space.sample(2 * options.designs, rng)
        indices = indices[space.possible[space.split(indices)[0]]][: options.designs]
        found = evaluate_on_chips(network_space, space.family, indices)
        own = indices[:, len(space.free) :]
        network = network_features(network_space, found, own)
        show(f"{name}, all its chips", chip_features(space, indices, network), found)
        target = family.target()
        priced = evaluate(network_space, target, own)
        # On one array the area is a constant: nothing to fit.
        skip = ("area_mm2",) if name == "systolic" else ()
        show(f"{name}, its default chip", network, priced, skip)
    return 0


if __name__ == "__main__":
    sys.exit(main())
