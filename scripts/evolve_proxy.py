"""Evolve a zero-cost proxy: a formula over the tensors of running networks that ranks them (EZNAS).

    python scripts/evolve_proxy.py SPACE=TABLE.csv [SPACE=TABLE.csv ...] [--fit 20] [--held-out 40]
        [--population 50] [--generations 15] [--batch 4] [--seed 0] [--out FILE]

TABLE has columns design,accuracy, as ``flash.search --evaluator`` takes it. Akhauri et al., EZNAS
(NeurIPS 2022): genetic programming finds a formula over tensors of every ReLU-Conv-BN unit, its
values are averaged over the units of a network, and the fitness is the least Kendall's tau over the
tables, each on ``--fit`` networks. Here a unit has 19 tensors: its kernel, and for a batch of
images, of noise and of images changed a little, the maps it reads and returns and the gradients by
the ReLU's input, those maps and the kernel (theirs are 22). The formula is judged on ``--held-out``
other networks, beside the best of as many random formulas, parameters and the number of units.
No image is read: all batches are random, and so are labels. Minutes, for spaces of small networks.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from flash.command import run_command
from flash.errors import InputError, UsageError
from flash.extras import need
from flash.proxies.observing import results_of, weight_outputs
from flash.proxies.probe import NoScore, Probe, weight_layers
from flash.search.budgeted.formula import tau_of
from flash.search.budgeted.genetic import fittest, random_trees
from flash.search.budgeted.journal import read_accuracies
from flash.spaces.network import Network
from flash.spaces.space import load_space

Floats = NDArray[np.float64]
#: The tensors of one unit by name.
Unit = dict[str, torch.Tensor]

PASSES: Final = ("images", "noise", "changed")
#: What each pass has of a unit; shapes (batch, channels, side, side), the last as the kernel.
PARTS: Final = ("read", "returned", "by_relu", "by_read", "by_returned", "by_kernel")
#: Deviation of what is added to images.
CHANGE: Final = 0.1
#: Kendall's tau that a node of a tree has to earn.
PER_NODE: Final = 0.002
_TINY: Final = 1e-8


# ------------------------------------------------------------------------------------- tensors
def units_of(network: Network, batch: int, seed: int) -> list[Unit]:
    """The tensors of every ReLU-Conv-BN unit; raises ``NoScore`` for a network without any."""
    probe = Probe(network, seed=seed, batch=batch, device="cpu")
    layers = probe.network.layers
    rectified = {n for n, layer in enumerate(layers) if layer.act == "relu"}
    weighted = [n for n, layer in enumerate(layers) if layer.op in ("conv", "linear")]
    normed = [n for n in weighted if layers[n].op == "conv" and layers[n].norm]
    ends = [n for n in normed if int(layers[n].inputs[0].producer) in rectified]
    if not ends:
        raise NoScore("no convolution with a batch norm reads a ReLU")
    images, labels = probe.labelled()
    noise = probe.noise(tuple(images.shape), "noise")
    changed = images + CHANGE * probe.noise(tuple(images.shape), "change")
    units: list[Unit] = [{} for _ in ends]
    for name, x in zip(PASSES, (images, noise, changed), strict=True):
        module = probe.module("fan_out")
        reads = [int(layers[n].inputs[0].producer) for n in ends]
        with weight_outputs(module) as outputs:
            kept = results_of(module, x, set(reads))
        kernels = [weight_layers(module)[weighted.index(n)].weight for n in ends]
        returned = [outputs[weighted.index(n)] for n in ends]
        read = [kept[n] for n in reads]
        scores = kept[-1].flatten(1)
        loss = scores.sum() if name == "noise" else functional.cross_entropy(scores, labels)
        by_read, by_returned, by_kernel = _gradients(loss, read, returned, kernels)
        for k, unit in enumerate(units):
            unit["kernel"] = kernels[k].detach()
            found = (read[k], returned[k], by_read[k] * (read[k] > 0), by_read[k], by_returned[k])
            parts = zip(PARTS, (*found, by_kernel[k]), strict=True)
            unit |= {f"{name}_{part}": tensor.detach() for part, tensor in parts}
    return units


def _gradients(loss: torch.Tensor, *groups: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Gradients by the tensors of each group, zeros where the loss does not depend on one."""
    wanted = [tensor for group in groups for tensor in group]
    found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    rest = iter(found)
    return [[next(rest) for _ in group] for group in groups]


# -------------------------------------------------------------------------------------- grammar
class _Tensor:
    """Type of a tensor."""


class _Number:
    """Type of a number a unit."""


class Meaningless(Exception):
    """Raised where a tree's functions do not fit its tensors' shapes."""


def _pairs(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def applied(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if x.shape != y.shape:
            raise Meaningless
        return function(x, y)

    return applied


def _square(x: torch.Tensor) -> torch.Tensor:
    if x.dim() < 2 or x.shape[-1] != x.shape[-2]:
        raise Meaningless
    return x


def _gram(x: torch.Tensor) -> torch.Tensor:
    flat = x.flatten(1) if x.dim() > 1 else x[:, None]
    return flat @ flat.T / flat.shape[1]


def _log_det(x: torch.Tensor) -> torch.Tensor:
    """Of square matrices in the last two axes; of a negative determinant 0."""
    return torch.logdet(_square(x)).nan_to_num(nan=0.0, neginf=-1e9).reshape(x.shape[:-2] or (1,))


_TENSORS: Final[dict[str, tuple[Callable[..., torch.Tensor], int]]] = {
    "add": (_pairs(torch.add), 2),
    "sub": (_pairs(torch.sub), 2),
    "mul": (_pairs(torch.mul), 2),
    "div": (_pairs(lambda x, y: x * y / (y * y + _TINY)), 2),
    "neg": (torch.neg, 1),
    "abs": (torch.abs, 1),
    "sign": (torch.sign, 1),
    "square": (torch.square, 1),
    "root": (lambda x: x.sign() * x.abs().sqrt(), 1),
    "log": (lambda x: x.sign() * x.abs().log1p(), 1),
    "exp": (lambda x: x.clamp(max=20.0).exp(), 1),
    "relu": (torch.relu, 1),
    "positive": (lambda x: (x > 0).float(), 1),
    "sigmoid": (torch.sigmoid, 1),
    "softmax": (lambda x: x.softmax(-1), 1),
    "standard": (lambda x: (x - x.mean()) / (x.std(correction=0) + _TINY), 1),
    "gram": (_gram, 1),
    "turned": (lambda x: x.transpose(0, 1) if x.dim() > 1 else x, 1),
    "log_det": (_log_det, 1),
}
_NUMBERS: Final[dict[str, Callable[[torch.Tensor], torch.Tensor]]] = {
    "mean": torch.mean,
    "deviation": lambda x: x.std(correction=0),
    "total": torch.sum,
    "most": torch.amax,
    "least": torch.amin,
    "norm": lambda x: x.square().sum().sqrt(),
    "magnitude": lambda x: x.abs().mean(),
}
_COMBINED: Final[dict[str, tuple[Callable[..., float], int]]] = {
    "n_add": (lambda x, y: x + y, 2),
    "n_sub": (lambda x, y: x - y, 2),
    "n_mul": (lambda x, y: x * y, 2),
    "n_div": (lambda x, y: x * y / (y * y + _TINY), 2),
    "n_neg": (lambda x: -x, 1),
    "n_log": (lambda x: math.copysign(math.log1p(abs(x)), x), 1),
    "n_root": (lambda x: math.copysign(math.sqrt(abs(x)), x), 1),
    "n_square": (lambda x: x * x, 1),
}


def grammar_of(names: Sequence[str]) -> Any:
    """DEAP's typed set of functions and tensors."""
    gp = need("deap.gp", "strategies", "the evolution of a proxy")
    grammar = gp.PrimitiveSetTyped("proxy", [], _Number)
    for name, (function, arity) in _TENSORS.items():
        grammar.addPrimitive(function, [_Tensor] * arity, _Tensor, name)
    for name, reduce in _NUMBERS.items():
        grammar.addPrimitive(reduce, [_Tensor], _Number, name)
    for name, (combine, arity) in _COMBINED.items():
        grammar.addPrimitive(combine, [_Number] * arity, _Number, name)
    for name in names:
        grammar.addTerminal(name, _Tensor, name)
    grammar.addTerminal(1.0, _Number, "one")
    return grammar


def value_of(tree: Sequence[Any], unit: Unit) -> float:
    """A tree on one unit, 0 where the result is no number; raises ``Meaningless``."""
    stack: list[Any] = []
    for node in reversed(tree):
        name = node.name
        if node.arity:
            function: Any = _NUMBERS.get(name) or (_TENSORS.get(name) or _COMBINED[name])[0]
            found = function(*(stack.pop() for _ in range(node.arity)))
            stack.append(float(found) if name in _NUMBERS else found)
        else:
            stack.append(unit.get(name, 1.0))
    value = min(max(stack.pop(), -1e12), 1e12)
    return 0.0 if math.isnan(value) else value


def score(tree: Sequence[Any], networks: Sequence[Sequence[Unit]]) -> Floats | None:
    """Mean over the units of each network, shape (networks,); None for a tree of no meaning."""
    try:
        found = [np.mean([value_of(tree, unit) for unit in units]) for units in networks]
    except (Meaningless, OverflowError):
        return None
    return np.array(found)


# --------------------------------------------------------------------------------------- search
@dataclass(frozen=True)
class Ranked:
    """Networks of one table: tensors of their units, accuracies."""

    units: list[list[Unit]]
    accuracy: Floats


def least_tau(tree: Sequence[Any], tables: Sequence[Ranked]) -> float:
    """The least Kendall's tau of a tree over tables; -1 for one of no meaning."""
    taus = []
    for table in tables:
        scores = score(tree, table.units)
        taus.append(-1.0 if scores is None else tau_of(scores, table.accuracy))
    return min(taus)


def evolve(
    tables: Sequence[Ranked], population: int, generations: int, seed: int
) -> tuple[Any, Any]:
    """The tree that evolution finds, and the best of as many random ones."""
    names = [f"{a}_{b}" for a in PASSES for b in PARTS] + ["kernel"]
    grammar = grammar_of(names)
    asked = 0

    def fitness(tree: Any) -> float:
        nonlocal asked
        asked += 1
        return least_tau(tree, tables) - PER_NODE * len(tree)

    rng = np.random.default_rng(seed)
    _, found = fittest(grammar, (), fitness, rng, population, generations)
    by_chance = random_trees(grammar, asked, rng)
    return found, max(by_chance, key=fitness)


def _split(argument: str, fit: int, held_out: int, batch: int, seed: int) -> list[Any]:
    """The networks of SPACE=TABLE.csv: to fit on, and to judge on with their own descriptions."""
    name, equals, table = argument.partition("=")
    if not equals:
        raise UsageError(f"'{argument}': expected SPACE=TABLE.csv")
    space = load_space(name)
    designs, accuracy = read_accuracies(table, space)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(np.isfinite(accuracy)))
    networks = [space.network(designs[row]) for row in order[: fit + held_out]]
    if len(networks) < fit + 3:
        raise InputError(f"{table}: {len(networks)} accuracies, and --fit {fit} takes all but 2")
    units = []
    for row, network in zip(order, networks, strict=False):
        try:
            units.append(units_of(network, batch, seed))
        except NoScore as why:
            raise InputError(f"{table}: {space.describe(designs[row])}: {why}") from None
    known = accuracy[order[: len(networks)]]
    return [
        Ranked(units[:fit], known[:fit]), Ranked(units[fit:], known[fit:]), networks[fit:]
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", nargs="+", metavar="SPACE=TABLE", help="design,accuracy tables")
    parser.add_argument("--fit", type=int, default=20, help="networks a table to evolve on")
    parser.add_argument("--held-out", type=int, default=40, help="networks a table to judge on")
    parser.add_argument("--population", type=int, default=50)
    parser.add_argument("--generations", type=int, default=15)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the formula as JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    parts = [
        _split(text, options.fit, options.held_out, options.batch, options.seed)
        for text in options.tables
    ]
    fitted = [part[0] for part in parts]
    found, by_chance = evolve(fitted, options.population, options.generations, options.seed)
    print(f"evolved: {found}\nbest random one: {by_chance}")
    for argument, (fit, held_out, networks) in zip(options.tables, parts, strict=True):
        params = np.array([float(network.params) for network in networks])
        count = np.array([float(len(units)) for units in held_out.units])
        print(
            f"{argument}: tau on {len(fit.units)} networks {least_tau(found, [fit]):.3f} (random "
            f"{least_tau(by_chance, [fit]):.3f}), on {len(held_out.units)} others "
            f"{least_tau(found, [held_out]):.3f} (random {least_tau(by_chance, [held_out]):.3f}, "
            f"parameters {tau_of(params, held_out.accuracy):.3f}, number of units "
            f"{tau_of(count, held_out.accuracy):.3f})"
        )
    if options.out:
        options.out.write_text(json.dumps({"formula": str(found)}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
