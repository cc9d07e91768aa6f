"""Several models of one runtime, averaged by how well each predicts networks left out of its fit.

A model is what the runtime may run and merge (``flash.fitting.structure``) with one way to
estimate its coefficients (``flash.fitting.selection``). 25 networks seldom tell two close models
apart, and the wrong one of them, picked, errs where the networks asked for differ from those
measured. So models are weighed, not picked: each by the likelihood of its held-out errors under
Student's t with three degrees of freedom (measurements have outliers), all equally likely before.
This is pseudo-Bayesian model averaging (Geisser & Eddy 1979; Yao et al. 2018).

Nothing of a network helps to predict it: the models are fitted without its fold, and the weights
for its fold come from the other folds' errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from flash.fitting.selection import Candidate
from flash.fitting.structure import Option, Options

__all__ = ["Average", "Model", "averaged", "log_scores", "weights_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Degrees of freedom of the errors' distribution: with few, single wild rows decide nothing.
_FREEDOM = 3.0
#: Least scale of the log errors, 0.1 %: exact models of simulated devices stay finite.
_LEAST_SCALE = 1e-3
#: Rounds of the scale's maximum-likelihood iteration, which has settled to 1e-3 after 15.
_ROUNDS = 20
#: A model of less than a tenth of the best one's weight is left out: it would cost a search as
#: much time as the best and change predictions by less than a tenth of the difference.
_LEAST_WEIGHT = 0.1
#: Linear fits this much (log-likelihood) below the best are given up: a weight of e^-12.
_GIVEN_UP = 12.0
#: Of the structures whose linear fits are within this much of the best, so many are fitted under
#: priors as well, which takes ten times as long. With more of them, priors that fit any structure
#: nearly as well blur what the linear fits have told apart.
_UNDER_PRIORS, _MOST_UNDER_PRIORS = 8.0, 2


@dataclass(frozen=True)
class Model:
    """One reading of a runtime: what it runs, its networks' kernels, how it is fitted."""

    option: Option
    candidate: Candidate


@dataclass(frozen=True)
class Average:
    """Weighted models and what they predict of networks left out.

    weights:   of the models, shape (models,), sum one; those of too little weight are gone.
    predicted: latencies (ms) of each network by models and weights made without its fold.
    far:       the same without the network's kind; not a number where that was not tried.
    errors:    candidate -> its least mean absolute log error over structures, networks and kinds
               left out.
    """

    models: tuple[Model, ...]
    weights: Floats
    predicted: Floats
    far: Floats
    errors: Mapping[str, float]


def averaged(
    options: Options,
    tried: Sequence[Candidate],
    latency_ms: Floats,
    folds: Sequence[Ints],
    kinds: Sequence[Ints] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Average:
    """Models for every option and candidate, fitted without each fold, and weighed.

    options: the structures to weigh; more lanes are tried on the likeliest only. kinds: networks to
    leave out together as well: those asked for may be of another kind than those measured, and what
    interpolates well then errs most. Their errors count in the weights as those of single networks
    do.
    """
    table = _Errors(latency_ms, folds, kinds)
    linear = [c for c in tried if c.linear is not None]
    under_priors = [c for c in tried if c.linear is None]
    chosen = options.first
    if linear:
        progress("cross-validating: linear fits of every structure")
        table.add(options.first, linear)
        best = table.scores().reshape(len(chosen), len(linear)).max(axis=1)
        wider = options.wider(chosen[int(np.argmax(best))].structure)
        table.add(wider, linear)
        chosen = [*chosen, *wider]
        best = table.scores().reshape(len(chosen), len(linear)).max(axis=1)
        order = np.argsort(-best, kind="stable")[:_MOST_UNDER_PRIORS]
        table.keep(table.scores() > best.max() - _GIVEN_UP)
        chosen = [chosen[k] for k in order if best[k] > best.max() - _UNDER_PRIORS]
    for candidate in under_priors:
        progress(f"cross-validating: {candidate.name}")
        table.add(chosen, [candidate])
    return table.average()


class _Errors:
    """Predictions of models for networks left out, alone and with their kind."""

    def __init__(self, latency_ms: Floats, folds: Sequence[Ints], kinds: Sequence[Ints]) -> None:
        self._latency_ms, self._folds, self._kinds = latency_ms, folds, kinds
        #: The network of each column: fold by fold, then kind by kind.
        self._rows = np.concatenate([*folds, *kinds])
        self._models: list[Model] = []
        self._predicted: list[Floats] = []
        self._seen: dict[tuple[int, int], Floats] = {}

    def add(self, options: Sequence[Option], candidates: Sequence[Candidate]) -> None:
        for option, candidate in product(options, candidates):
            # Options that these networks cannot tell apart share one workload, and so one fit.
            key = id(option.load), id(candidate)
            if key not in self._seen:
                groups = [*self._folds, *self._kinds]
                left_out = candidate.left_out(option.load, self._latency_ms, groups)
                self._seen[key] = np.concatenate(left_out)
            self._models.append(Model(option, candidate))
            self._predicted.append(self._seen[key])

    def scores(self) -> Floats:
        """Log-likelihood of each model, as of one error a network, with its weight before."""
        return len(self._latency_ms) * log_scores(self._errors()) + self._before()

    def keep(self, kept: NDArray[np.bool_]) -> None:
        self._models = [m for m, k in zip(self._models, kept, strict=True) if k]
        self._predicted = [p for p, k in zip(self._predicted, kept, strict=True) if k]

    def average(self) -> Average:
        errors, before = self._errors(), self._before()
        count = len(self._latency_ms)
        near, far = np.zeros(count), np.full(count, np.nan)
        first = 0
        for number, group in enumerate((*self._folds, *self._kinds)):
            others = ~np.isin(self._rows, group)
            weights = weights_of(errors[:, others], count - len(group), before)
            columns = slice(first, first + len(group))
            found = near if number < len(self._folds) else far
            found[group] = weights @ np.stack(self._predicted)[:, columns]
            first += len(group)
        weights = weights_of(errors, count, before)
        kept = np.flatnonzero(weights)
        least: dict[str, float] = {}
        for model, error in zip(self._models, np.abs(errors).mean(axis=1), strict=True):
            name = model.candidate.name
            least[name] = min(least.get(name, np.inf), float(error))
        return Average(tuple(self._models[k] for k in kept), weights[kept], near, far, least)

    def _errors(self) -> Floats:
        """Log errors, shape (models, columns)."""
        result: Floats = np.log(np.stack(self._predicted) / self._latency_ms[self._rows])
        return result

    def _before(self) -> Floats:
        """Log weights of the models before anything is measured."""
        return np.array([m.option.log_prior for m in self._models])


def log_scores(errors: Floats) -> Floats:
    """Mean log-likelihood of log errors by model, shape (models,), at the likeliest scale.

    errors: (models, columns).
    """
    scale = np.maximum(np.median(np.abs(errors), axis=-1, keepdims=True), _LEAST_SCALE)
    for _ in range(_ROUNDS):
        weight = (_FREEDOM + 1) / (_FREEDOM + (errors / scale) ** 2)
        scale = np.sqrt(np.mean(weight * errors**2, axis=-1, keepdims=True))
        scale = np.maximum(scale, _LEAST_SCALE)
    density = -np.log(scale) - (_FREEDOM + 1) / 2 * np.log1p((errors / scale) ** 2 / _FREEDOM)
    result: Floats = density.mean(axis=-1)
    return result


def weights_of(errors: Floats, networks: int, before: Floats) -> Floats:
    """Weights of models with these log errors, shape (models,); they sum to one.

    networks: that the columns of ``errors`` are of. before: log weights without measurements.
    """
    logs = networks * log_scores(errors) + before
    weights = np.exp(logs - logs.max())
    weights[weights < _LEAST_WEIGHT] = 0.0
    result: Floats = weights / weights.sum()
    return result
