"""Designs of a space as rows: read, priced some at a time, in columns.

Many designs are priced from tables of the stages (``flash.evaluation.DesignTables``), few layer by
layer: tables take a fraction of a second to make. A score that is no sum over stages is worked out
network by network, for many designs only where it is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.errors import FlashError, InputError, UsageError
from flash.evaluation import DesignTables, Evaluation, Metrics, evaluate, measure
from flash.metrics import scores
from flash.quantities import quantity
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats
from flash.targets import Target, bits_of

if TYPE_CHECKING:
    from flash.accuracy import AccuracyModel, Prediction

__all__ = ["SHOWN", "DesignPricing", "columns_of", "read_designs", "target_name"]

Ints = NDArray[np.int64]
#: Column -> its values, one a row; None where one is not known.
Columns = dict[str, Sequence[Any]]

#: Metrics of every row, in this order; any other is a column where it is asked for.
SHOWN: Final = ("nn_degree", "nn_mass", "sed", "rank_score")
#: From so many designs on tables are made.
_TABLES_PAY: Final = 2048
#: Up to so many designs a score is worked out network by network, 1 ms each, unasked.
_UNASKED: Final = 2048
#: Designs priced at a time.
_CHUNK: Final = 1 << 16
#: Of these, designs whose networks are scored one by one at a time, and told about.
_SCORED: Final = 512


def read_designs(space: SearchSpace, texts: Collection[str]) -> NDArray[np.integer[Any]]:
    """Indices of designs as people write them, shape (designs, variables), in few bytes.

    Raises ``InputError`` with the number of the first that is not of the space.
    """
    most = max(len(grid) for grid in space.grids)
    indices = np.empty((len(texts), len(space.grids)), dtype=np.min_scalar_type(most))
    words = _Words(space)
    for number, text in enumerate(texts):
        try:
            indices[number] = words.indices(text)
        except FlashError as error:
            raise InputError(f"design {number + 1}: {error}") from None
    return indices


class _Words:
    """Designs by their words (``w=8,16,32``), each understood once."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        names = list(space.variables)
        self._columns = [[names.index(n) for n in own] for own in space.family.roles.values()]
        self._roles = list(space.family.roles)
        self._order = np.argsort([k for own in self._columns for k in own]).tolist()
        self._known: list[dict[str, tuple[int, ...]]] = [{} for _ in self._roles]

    def indices(self, text: str) -> Sequence[int] | Ints:
        """Indices of a design; raises ``SpaceError`` as ``SearchSpace.parse`` does."""
        words = text.split()
        if len(words) != len(self._roles):
            return self._space.parse(text)
        found: list[int] = []
        for known, word in zip(self._known, words, strict=True):
            own = known.get(word)
            if own is None:
                return self._learn(text, words)
            found += own
        return [found[k] for k in self._order]

    def _learn(self, text: str, words: Sequence[str]) -> Ints:
        row = self._space.parse(text)
        if [word.partition("=")[0] for word in words] == self._roles:
            for known, word, columns in zip(self._known, words, self._columns, strict=True):
                known[word] = tuple(row[columns].tolist())
        return row


@dataclass(frozen=True)
class _Scorer:
    """Where scores of designs come from.

    tables: of the space; None where few designs are asked about.
    asked:  metrics that the user named.
    """

    space: SearchSpace
    tables: DesignTables | None
    asked: frozenset[str]
    designs: int

    def scores(self, found: Metrics, indices: Ints, names: Sequence[str]) -> dict[str, Floats]:
        """Scores by name, NaN where one is left out."""
        if self.tables is None:
            return scores(self.space, indices, names)
        values: dict[str, Floats] = {}
        for name in names:
            own = getattr(found, name, None)
            if own is None:
                own = self.tables.score(name, indices)
            if own is None and (name in self.asked or self.designs <= _UNASKED):
                own = self._one_by_one(name, indices)
            values[name] = np.full(len(indices), np.nan) if own is None else own
        return values

    def _one_by_one(self, name: str, indices: Ints) -> Floats:
        parts = []
        for start in range(0, len(indices), _SCORED):
            parts.append(scores(self.space, indices[start : start + _SCORED], (name,))[name])
            _tell(f"{name}: {start + len(parts[-1]):,} of {len(indices):,} networks")
        return np.concatenate(parts)

    def left_out(self, names: Sequence[str]) -> list[str]:
        """Those that are not worked out unless the user names them."""
        if self.tables is None or self.designs <= _UNASKED:
            return []
        one = np.zeros((1, len(self.space.grids)), dtype=np.int64)
        return [
            name
            for name in names
            if name not in self.asked
            and name not in Metrics.__dataclass_fields__
            and self.tables.score(name, one) is None
        ]


class DesignPricing:
    """Designs of a space on targets (none: metrics alone).

    metrics: further ones than ``SHOWN``, which are worked out whatever it takes.
    """

    def __init__(
        self,
        space: SearchSpace,
        targets: Sequence[Target],
        metrics: Sequence[str],
        indices: NDArray[np.integer[Any]],
    ) -> None:
        self._space, self._targets, self._indices = space, targets, indices
        self._names = tuple(dict.fromkeys((*SHOWN, *metrics)))
        self._asked = frozenset(metrics)
        self._accuracy = {
            bits: _accuracy_model(space, bits)
            for bits in dict.fromkeys(map(_bits, targets or (None,)))
        }

    def __len__(self) -> int:
        return len(self._indices) * max(1, len(self._targets))

    def columns(self, texts: Collection[str], skipped: int = 0) -> Iterator[Columns]:
        """The rows after the first ``skipped``, target by target, some at a time."""
        done = 0
        for target in self._targets or (None,):
            if skipped >= done + len(self._indices):
                done += len(self._indices)
                continue
            tables = self._tables(target)
            scorer = _Scorer(self._space, tables, self._asked, len(self._indices))
            if left_out := scorer.left_out(self._names):
                sys.stderr.write(
                    f"note: no {' and '.join(left_out)} of so many designs: worked out network by "
                    f"network (1 ms each) where it is asked for, e.g. --metric {left_out[0]}\n"
                )
            named = iter(texts)
            for start in range(0, len(self._indices), _CHUNK):
                indices = self._indices[start : start + _CHUNK].astype(np.int64)
                own = [next(named) for _ in range(len(indices))]
                first = min(max(0, skipped - done), len(indices))
                done += len(indices)
                if first < len(indices):
                    yield self._priced(own[first:], indices[first:], target, tables, scorer)
                    _tell(f"{done:,} of {len(self):,} rows", last=done == len(self))

    def _tables(self, target: Target | None) -> DesignTables | None:
        if len(self._indices) < _TABLES_PAY:
            return None
        try:
            return DesignTables(self._space, target)
        except UsageError:
            return None

    def _priced(
        self,
        texts: Sequence[str],
        indices: Ints,
        target: Target | None,
        tables: DesignTables | None,
        scorer: _Scorer,
    ) -> Columns:
        if tables is not None:
            found = tables.evaluate(indices)
        elif target is not None:
            found = evaluate(self._space, target, indices)
        else:
            found = measure(self._space, indices)
        _tell_of_nothing(found, target)
        values = scorer.scores(found, indices, self._names)
        model = self._accuracy[_bits(target)]
        accuracy = None if model is None else model.predict(self._space, indices)
        return columns_of(texts, found, values, target, len(self._targets) > 1, accuracy)


def columns_of(
    texts: Sequence[str],
    found: Metrics,
    values: Mapping[str, Floats],
    target: Target | None,
    named: bool,
    accuracy: Prediction | None = None,
) -> Columns:
    """The columns of rows, in the order of ``docs/formats.md``."""
    columns: Columns = {"design": texts}
    if named and target:
        columns["target"] = [target_name(target)] * len(texts)
    columns |= {name: _known(column) for name, column in values.items()}
    columns["params"] = found.params.astype(np.int64).tolist()
    columns["macs"] = found.macs.astype(np.int64).tolist()
    columns["weight_kb"] = found.weight_kb.tolist()
    columns["activation_kb"] = found.activation_kb.tolist()
    if accuracy is not None:
        ends = (np.asarray(v).tolist() for v in (accuracy.value, accuracy.low, accuracy.high))
        columns |= dict(zip(quantity("accuracy").columns, ends, strict=True))
        columns["accuracy_extrapolated"] = np.asarray(accuracy.outside).tolist()
    if isinstance(found, Evaluation):
        for name in ("latency_ms", "energy_mj", "area_mm2"):
            triple = getattr(found, name)
            if triple is None or (name == "energy_mj" and target and not target.energy_how):
                continue
            ends = (np.asarray(v).tolist() for v in triple)
            columns |= dict(zip(quantity(name).columns, ends, strict=True))
        columns |= {name: np.asarray(v).tolist() for name, v in found.details.items()}
        columns["extrapolated"] = found.extrapolated.tolist()
    return columns


def target_name(target: Target) -> str:
    """Name of a target with its runtime, where it has several."""
    runtime = target.summary().get("runtime")
    return f"{target.name}:{runtime}" if runtime else target.name


def _known(column: Floats) -> list[float | None]:
    values: list[float | None] = np.asarray(column, dtype=np.float64).tolist()
    for row in np.flatnonzero(np.isnan(column)).tolist():
        values[row] = None
    return values


def _bits(target: Target | None) -> int:
    """Bits of weights and activations; those of floats where no target says."""
    return 32 if target is None else bits_of(target)


def _accuracy_model(space: SearchSpace, bits: int) -> AccuracyModel | None:
    """The accuracy model, None without one; why not, and what bits cost, go to standard error."""
    if space.accuracy is None:
        return None
    from flash.accuracy.storage import (  # noqa: PLC0415 (few spaces have one)
        accuracy_of,
        why_no_accuracy,
        words_on_bits,
    )

    model = accuracy_of(space, bits)
    if model is None:
        sys.stderr.write(f"note: no accuracy: {why_no_accuracy(space)}\n")
    elif words := words_on_bits(bits, model):
        sys.stderr.write(f"note: {words}\n")
    return model


def _tell_of_nothing(found: Metrics, target: Target | None) -> None:
    """A note on designs without a path from input to output, where that costs nothing."""
    if isinstance(found, Evaluation) and target is not None:
        idle = int((found.latency_ms[0] <= 0).sum())
        if idle:
            sys.stderr.write(
                f"note: {idle:,} of {len(found.params):,} designs take no time on {target.name}: "
                "none of their layers lies on a path from the input to the output\n"
            )


def _tell(text: str, last: bool = False) -> None:
    """How far it is, where a person looks."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"{text}        {chr(10) if last else chr(13)}")
        sys.stderr.flush()
