"""Search spaces: integer variables with their ranges, read from TOML files in ``models/``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.errors import SpaceError, UsageError, did_you_mean, shown
from flash.files.locations import data_file, known_names, own_file_like
from flash.files.reading import parse_json, read_toml
from flash.files.section import Section
from flash.spaces.family import FAMILIES, Family, InputShape
from flash.spaces.layers import Ints, in_elements, out_elements
from flash.spaces.network import GraphEmitter, Network
from flash.spaces.table import LayerTable, TableEmitter

__all__ = ["SearchSpace", "alike", "gathered", "load_space"]

_KEYS = frozenset(
    {
        "schema",
        "name",
        "family",
        "description",
        "classes",
        "input",
        "settings",
        "variables",
        "metric",
        "accuracy",
    }
)
_SCHEMA = "flash.space/1"
# Far beyond any network that fits a device; they keep a typing error from filling the memory.
_MOST_CLASSES = 1_000_000
_MOST_CHANNELS = 65_536
_LONGEST_SIDE = 8_192
_MOST_VALUES = 4_096
#: Options of a stage that are looked at one by one to count the different ones.
_MOST_OPTIONS = 1 << 24
#: No count of the largest network may come near the end of 64-bit integers.
_LARGEST_COUNT = 1 << 62


@dataclass(frozen=True)
class SearchSpace:
    """A family with a range for each of its variables.

    A *design* is one value a variable. Arrays of designs come in two forms: ``indices``
    (positions in each variable's grid, what optimizers work on) and ``values`` (the
    integers themselves); both have shape (designs, variables). ``metric`` is the score a
    search of the space maximises unless told otherwise (``flash.metrics.own_metric`` is the
    object of that name). ``accuracy`` is the file's section on
    trained networks as it stands there (``flash.accuracy.storage`` reads it), None without one.
    ``whole`` are the grids of the space that this one was narrowed from, None for a whole one.
    """

    name: str
    description: str
    family: Family
    grids: tuple[NDArray[np.int64], ...]
    metric: str = "nn_degree"
    accuracy: Mapping[str, Any] | None = None
    whole: tuple[NDArray[np.int64], ...] | None = None

    def narrowed(self, kept: Sequence[NDArray[np.int64]]) -> SearchSpace:
        """The space with these values (indices) of each variable; designs keep their names."""
        grids = tuple(grid[own] for grid, own in zip(self.grids, kept, strict=True))
        return replace(self, grids=grids, whole=self.whole or self.grids)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables, in column order."""
        return self.family.variables

    @property
    def size(self) -> int:
        """Number of designs (combinations of values), exactly."""
        return math.prod(len(grid) for grid in self.grids)

    @cached_property
    def distinct(self) -> int:
        """Number of designs that differ in more than values without effect, exactly.

        A skip budget beyond the channels there are, or two widths that round to the same
        channels, name one network twice; here it counts once (``Family.canonical``). Where a
        stage has too many options to look at each, all designs are counted.
        """
        stages = self.family.stages
        sizes = {n: len(grid) for n, grid in zip(self.variables, self.grids, strict=True)}
        if type(self.family).canonical is Family.canonical:  # every value has an effect
            return self.size
        if max(math.prod(sizes[n] for n in (*s.reads, *s.owns)) for s in stages) > _MOST_OPTIONS:
            return self.size
        counts: dict[tuple[int, ...], int] = {(): 1}
        known: tuple[str, ...] = ()
        for k, stage in enumerate(stages):
            needed = {name for later in stages[k + 1 :] for name in later.reads}
            kept = tuple(n for n in dict.fromkeys((*known, *stage.owns)) if n in needed)
            following: dict[tuple[int, ...], int] = {}
            for before, after, options in self._canonical_options(known, stage.owns, kept):
                following[after] = following.get(after, 0) + options * counts[before]
            counts, known = following, kept
        return sum(counts.values())

    def _canonical_options(
        self, known: tuple[str, ...], owned: tuple[str, ...], kept: tuple[str, ...]
    ) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
        """What is known before, what is kept after, and how many distinct choices lead there."""
        names = (*known, *owned)
        if not names:
            return [((), (), 1)]
        grids = dict(zip(self.variables, self.grids, strict=True))
        mesh = np.meshgrid(*(grids[name] for name in names), indexing="ij")
        values: dict[str, Any] = {name: int(grid[0]) for name, grid in grids.items()}
        values.update((name, axis.ravel()) for name, axis in zip(names, mesh, strict=True))
        canonical = self.family.canonical(values)
        rows, _ = _unique_rows(np.stack([canonical[name] for name in names], axis=1))
        ends = rows[:, [*range(len(known)), *(names.index(name) for name in kept)]]
        ends, options = _unique_rows(ends)
        return [
            (tuple(row[: len(known)]), tuple(row[len(known) :]), number)
            for row, number in zip(ends.tolist(), options.tolist(), strict=True)
        ]

    # ------------------------------------------------------------------- designs in and out
    def sample(self, designs: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Indices of ``designs`` designs drawn uniformly (with replacement)."""
        return np.stack([rng.integers(len(g), size=designs) for g in self.grids], axis=1)

    def decode(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices -> values."""
        return np.stack([g[indices[:, k]] for k, g in enumerate(self.grids)], axis=1)

    def encode(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Values -> indices; raises ``SpaceError`` for a value outside the space."""
        indices = np.empty_like(values)
        for k, (name, grid) in enumerate(zip(self.variables, self.grids, strict=True)):
            found = np.searchsorted(grid, values[:, k]).clip(0, len(grid) - 1)
            wrong = grid[found] != values[:, k]
            if wrong.any():
                raise self._outside(name, int(values[wrong.argmax(), k]), grid)
            indices[:, k] = found
        return indices

    def completed(self, values: Mapping[str, int]) -> dict[str, int]:
        """The values with those of the variables of one value, which nobody needs to write.

        Raises ``SpaceError`` where another variable lacks a value.
        """
        only = {n: int(g[0]) for n, g in zip(self.variables, self.grids, strict=True) if g.size < 2}
        found = only | dict(values)
        missing = [name for name in self.variables if name not in found]
        if missing:
            raise SpaceError(f"the design lacks a value for {', '.join(missing)}")
        return found

    def design(self, values: Mapping[str, int]) -> NDArray[np.int64]:
        """Indices, shape (variables,), of the design with these named values (``completed``)."""
        for name in values:
            if name not in self.variables:
                raise SpaceError(
                    f"'{name}' is no variable of space {self.name}"
                    f"{did_you_mean(name, self.variables)}"
                )
        values = self.completed(values)
        row = []
        for name, grid in zip(self.variables, self.grids, strict=True):
            # Compared as Python integers: a file may hold one that fits no array.
            value, allowed = values[name], grid.tolist()
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value not in allowed:
                raise self._outside(name, value, grid)
            row.append(allowed.index(value))
        return np.array(row, dtype=np.int64)

    def parse(self, text: str) -> NDArray[np.int64]:
        """Indices, shape (variables,), of a design as people write it.

        A JSON object of the variables, ``w1=8 d1=3 ...``, or the benchmark's own string.
        Raises ``SpaceError``.
        """
        if not text.lstrip().startswith("{"):
            return self.design(self.family.parse(text))
        values: dict[str, int] = parse_json(text, "the design", SpaceError)
        if not all(type(v) is int for v in values.values()):
            raise SpaceError("the values of a design are whole numbers")
        return self.design(values)

    def _outside(self, name: str, value: Any, grid: NDArray[np.int64]) -> SpaceError:
        return SpaceError(
            f"{name}={shown(value)} is not in space {self.name}; {name} is one of {_shorten(grid)}"
        )

    def named(self, indices: NDArray[np.int64]) -> dict[str, int]:
        """The values of one design by name."""
        rows = np.asarray(indices).tolist()
        return {n: own[i] for n, own, i in zip(self.variables, self._listed, rows, strict=True)}

    def describe(self, indices: NDArray[np.int64]) -> str:
        """One design in short, for people."""
        return self.family.describe(self.named(indices))

    def identify(self, indices: NDArray[np.int64]) -> str:
        """A short name of one design, the same in every run: its number in the space, in hex."""
        number = 0
        for (size, places), index in zip(
            self._numbering, np.asarray(indices).tolist(), strict=True
        ):
            number = number * size + places[index]
        return f"{number:x}"

    @cached_property
    def _listed(self) -> list[list[int]]:
        """The grids as numbers of Python."""
        return [grid.tolist() for grid in self.grids]

    @cached_property
    def _numbering(self) -> list[tuple[int, list[int]]]:
        """Of each variable the values in the whole space, and where its own stand among them."""
        wholes = self.whole or self.grids
        return [
            (len(whole), np.searchsorted(whole, grid).tolist())
            for whole, grid in zip(wholes, self.grids, strict=True)
        ]

    # ----------------------------------------------------------------------------- views
    def table(self, indices: NDArray[np.int64]) -> LayerTable:
        """The layer table of many designs."""
        return self._table(self._columns(indices), len(indices))

    def tables(
        self, indices: NDArray[np.int64], at_once: int
    ) -> Iterator[tuple[NDArray[np.int64], LayerTable]]:
        """Layer tables of many designs, each with the rows of ``indices`` that it is of.

        A table is of at most ``at_once`` designs that are ``alike``.
        """
        for rows, values in alike(self.family, self._columns(indices), len(indices), at_once):
            yield rows, self._table(values, len(rows))

    def _columns(self, indices: NDArray[np.int64]) -> dict[str, Ints]:
        values = self.decode(indices)
        return {name: values[:, k] for k, name in enumerate(self.variables)}

    def _table(self, values: Mapping[str, Ints], designs: int) -> LayerTable:
        emitter = TableEmitter(designs)
        return emitter.table(self.family.emit(emitter, values)[1])

    def network(self, indices: NDArray[np.int64]) -> Network:
        """The graph of one design."""
        emitter = GraphEmitter()
        network = emitter.network(*self.family.emit(emitter, self.named(indices)))
        return replace(network, designed=True)


def alike(
    family: Family, values: Mapping[str, Ints], designs: int, at_once: int
) -> Iterator[tuple[NDArray[np.int64], dict[str, Ints]]]:
    """Designs that have the same of ``Family.branches``: which, at most ``at_once``, their values.

    Their layer table has no rows that only others have. In order inside each group.
    """
    groups = [np.arange(designs)]
    for name in family.branches:
        own = values[name]
        if isinstance(own, np.ndarray):
            groups = [
                rows[own[rows] == v] for rows in groups for v in sorted(set(own[rows].tolist()))
            ]
    for group in groups:
        for start in range(0, len(group), at_once):
            rows = group[start : start + at_once]
            found = {n: v if isinstance(v, int) else v[rows] for n, v in values.items()}
            yield rows, found | {n: int(np.ravel(found[n])[0]) for n in family.branches}


def gathered(
    designs: int, parts: Iterable[tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]]
) -> dict[str, NDArray[Any]]:
    """Quantities of all designs, of parts that say which of the designs they are of."""
    found: dict[str, NDArray[Any]] = {}
    for rows, part in parts:
        for name, values in part.items():
            if name not in found:
                found[name] = np.empty(designs, dtype=values.dtype)
            found[name][rows] = values
    return found


def _unique_rows(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each row once, and how often it is there; much faster than sorting rows, as each is packed
    into one number."""
    if rows.shape[1] == 0:
        return rows[:1], np.array([len(rows)])
    low = rows.min(axis=0)
    spans = (rows.max(axis=0) - low + 1).tolist()
    if math.prod(spans) >= 1 << 62:
        distinct, often = np.unique(rows, axis=0, return_counts=True)
        return distinct, often
    number = np.zeros(len(rows), dtype=np.int64)
    for column, span in enumerate(spans):
        number = number * span + (rows[:, column] - low[column])
    _, first, often = np.unique(number, return_index=True, return_counts=True)
    return rows[first], often


def load_space(name_or_path: str) -> SearchSpace:
    """The space in ``models/NAME.toml``, or in a file of the user's.

    Raises ``UsageError`` for an unknown name and ``SpaceError`` for a file that is no space.
    """
    path = data_file("models", name_or_path)
    if path is None:
        hint = own_file_like(name_or_path) or did_you_mean(name_or_path, known_names("models"))
        raise UsageError(f"unknown space '{name_or_path}'{hint}")
    document = read_toml(path, SpaceError)
    try:
        return _space(document, path)
    except SpaceError as error:
        raise SpaceError(f"{path}: {error}") from None


def _space(document: dict[str, Any], path: Path) -> SearchSpace:
    top = Section("", document, SpaceError)
    top.only(_KEYS)
    top.schema(_SCHEMA)
    family_name = top.text("family")
    if family_name not in FAMILIES:
        raise SpaceError(f"unknown family '{family_name}'{did_you_mean(family_name, FAMILIES)}")
    shape = _input_shape(top.section("input"))
    classes = top.integer("classes", most=_MOST_CLASSES)
    kind = FAMILIES[family_name]
    family = kind(shape, classes, _settings(kind, top.table("settings"), path))
    ranges = top.table("variables")
    for name in ranges:
        if name not in family.variables:
            raise SpaceError(
                f"[variables] has '{name}', which family {family_name} lacks"
                f"{did_you_mean(name, family.variables)}"
            )
    missing = [name for name in family.variables if name not in ranges]
    if missing:
        raise SpaceError(f"[variables] lacks {', '.join(missing)}")
    grids = {name: _grid(name, ranges[name]) for name in family.variables}
    family.check(grids)
    space = SearchSpace(
        name=top.text("name") if top.has("name") else path.stem,
        description=top.text("description") if top.has("description") else "",
        family=family,
        metric=top.text("metric") if top.has("metric") else "nn_degree",
        grids=tuple(np.array(grids[name], dtype=np.int64) for name in family.variables),
        accuracy=top.table("accuracy") if top.has("accuracy") else None,
    )
    _countable(space)
    return space


def _settings(kind: type[Family], given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings, files among them relative to the space's own."""
    files = [name for name, setting in kind.settings.items() if setting.file]
    return {
        name: str(path.parent / value) if name in files and isinstance(value, str) else value
        for name, value in given.items()
    }


def _countable(space: SearchSpace) -> None:
    """Refuse a space whose largest network has counts that 64-bit integers cannot hold."""
    largest = space.network(np.array([len(grid) - 1 for grid in space.grids]))
    moved = sum(int(in_elements(x) + out_elements(x)) for x in largest.layers)
    if max(largest.macs, largest.params, moved) > _LARGEST_COUNT:
        raise SpaceError(
            "the largest network is beyond all that can be counted: give a smaller input, or "
            "smaller settings or variables"
        )


def _input_shape(given: Section) -> InputShape:
    sizes = {"channels": _MOST_CHANNELS, "height": _LONGEST_SIDE, "width": _LONGEST_SIDE}
    given.only(sizes)
    return InputShape(*(given.integer(name, most=most) for name, most in sizes.items()))


def _grid(name: str, given: Any) -> list[int]:
    """``[8, 16, 24]``, or ``{from = 8, to = 64, step = 8}`` with both ends included."""
    place = f"[variables.{name}]"
    if isinstance(given, dict) and set(given) == {"from", "to", "step"}:
        low, high, step = given["from"], given["to"], given["step"]
        if all(type(v) is int for v in (low, high, step)) and step > 0 and low <= high:
            _few_enough((high - low) // step + 1, place)
            if (high - low) % step:
                raise SpaceError(
                    f"{place} steps of {shown(step)} from {shown(low)} do not end at {shown(high)}"
                )
            return list(range(low, high + 1, step))
    elif isinstance(given, list) and given and all(type(v) is int for v in given):
        _few_enough(len(given), place)
        if all(a < b for a, b in zip(given, given[1:], strict=False)):
            return given
        raise SpaceError(f"{place} must be in rising order without repeats")
    raise SpaceError(
        f"{place} must be a list of integers or {{from, to, step}}, got {shown(given)}"
    )


def _few_enough(values: int, place: str) -> None:
    if values > _MOST_VALUES:
        raise SpaceError(f"{place} has {shown(values)} values; at most {_MOST_VALUES} are possible")


def _shorten(grid: NDArray[np.int64]) -> str:
    items = [str(v) for v in grid]
    return ", ".join(items if len(items) <= 8 else [*items[:4], "...", items[-1]])
