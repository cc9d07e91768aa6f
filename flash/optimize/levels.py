"""The machinery of the hierarchical SHGO: one scalar problem through its levels.

What ``scipy.optimize.shgo`` (1.11 to 1.17) really does, as far as it matters here:

- ``workers`` may be any map-like callable; with it, every vertex of the complex arrives in
  one call, which makes a vectorised objective possible. The function itself is then ignored.
- ``minimizer_kwargs["method"]`` may be a callable if it has a ``lower`` method (see ``_Local``).
- ``sampling_method="simplicial"`` honours ``n`` (except 100, which means ``2**d + 1``).
- Only vertices strictly below all neighbours start a local search: a plateau has none, so the
  best vertex is always used as well. Constraints are not passed to it; limits are costs here.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flash.extras import postpone, without_collection
from flash.optimize.hierarchy import MOST_VARIABLES, Coarse, Fine, Place
from flash.optimize.lookup import Lookup
from flash.optimize.menus import Menus
from flash.optimize.objectives import Limit, Objective
from flash.optimize.polish import moves, polish
from flash.spaces.stage_tables import Floats, SeparableProblem

__all__ = ["Effort", "Search", "Solve", "penalised"]

Ints = NDArray[np.int64]

#: Added to the cost of a design beyond a limit: above every cost of a feasible one.
_BEYOND = 1e30
#: The local search jumps less than this along a menu.
_MENU_REACH = 128
#: Steps along two menus at once, one up and one down.
_EXCHANGES = (1, 2, 3, 5, 8, 13)

#: What importing shgo brings with it and a simplicial complex needs nothing of, which takes half of
#: the import; of ``scipy.optimize`` what shgo takes from it.
_POSTPONED = {
    "numpy.f2py": {},
    "numpy.testing": {},
    "scipy.special": {"rel_entr": "_ufuncs"},
    "scipy.spatial": {"distance": "distance"},
    "scipy.optimize": {
        "Bounds": "_constraints",
        "OptimizeResult": "_optimize",
        "minimize": "_minimize",
        "shgo": "_shgo",
    },
}


@dataclass(frozen=True)
class Effort:
    """How much work hierarchical SHGO puts in.

    coarse, fine: points of a complex on the two levels.
    radii:        half-widths of the fine boxes, shares of a variable's range, one a cycle.
    rays:         designs each point stands for, coarse and fine.
    levels:       scalar problems of a front.
    sweeps:       most rounds of the front's own local search.
    """

    coarse: int = 40
    fine: int = 20
    radii: tuple[float, ...] = (0.35, 0.15)
    rays: tuple[int, int] = (12, 7)
    levels: int = 8
    rounds: int = 3
    sweeps: int = 12


class Search:
    """One problem, its menus, and the designs scored so far."""

    def __init__(
        self,
        problem: SeparableProblem,
        needed: Sequence[Objective],
        seed: int,
        effort: Effort,
        peak_bound: float,
    ) -> None:
        self.problem = problem
        self.effort = effort
        self.tops = np.array(problem.sizes) - 1
        self.lookup = Lookup(problem, needed)
        self.gain = next((of for of in needed if of.sense == "max"), needed[0])
        self.peak_bound = peak_bound
        self.menus = self.menus_around(None)
        rng = np.random.default_rng(seed)
        self.changes = moves(problem.sizes, rng)
        self.menu_changes = moves((_MENU_REACH,) * len(self.menus.groups), rng, _EXCHANGES)
        self.inside = 0
        self.outside = 0
        self._archived = np.min_scalar_type(int(self.tops.max(initial=0)))
        self.designs: list[NDArray[Any]] = []
        self.values: list[Floats] = []

    def score(self, designs: Ints, inside: bool) -> Floats:
        """Values of designs, kept in the archive."""
        values = self.lookup(designs)
        if inside:
            self.inside += len(designs)
        else:
            self.outside += len(designs)
        self.designs.append(designs.astype(self._archived))  # there may be a million
        self.values.append(values)
        return values

    def menus_around(self, design: Ints | None) -> Menus:
        """The groups' menus, each seen from a design (None: from the average design)."""
        costs = [of for of in self.lookup.objectives if of != self.gain]
        return Menus(self.problem, self.gain, costs, design, self.peak_bound)

    def cheapest(self, cost_of: Callable[[Floats], Floats], count: int = 64) -> Ints:
        """The designs of least cost scored so far."""
        costs = np.concatenate([cost_of(values) for values in self.values])
        least = np.argsort(costs, kind="stable")[:count]
        return np.concatenate(self.designs)[least].astype(np.int64)

    def windows(self) -> list[tuple[int, ...]]:
        """The groups in overlapping windows of at most five."""
        count = len(self.menus.groups)
        width = min(MOST_VARIABLES, count)
        starts = range(0, count - width, max(1, width - 2))
        return [tuple(range(s, s + width)) for s in (*starts, count - width)]


class Solve:
    """One scalar problem: costs, the best place and design so far, the levels in turn."""

    def __init__(self, search: Search, cost_of: Callable[[Floats], Floats]) -> None:
        self.search = search
        self.menus = search.menus
        self.cost_of = cost_of
        self.place: Place | None = None
        self.place_cost = np.inf
        self.design = search.tops // 2
        self.cost = np.inf

    def run(self) -> None:
        """Rounds until nothing improves, the menus of later ones seen from the best design."""
        for _ in range(self.search.effort.rounds):
            before = self.cost
            self.round()
            if not self.cost < before:
                break
            self.menus = self.search.menus_around(self.design)
            self.place, self.place_cost = None, np.inf

    def round(self, start: Place | None = None) -> None:
        """The levels in turn: coarse unless there is a place to start from, then fine."""
        effort = self.search.effort
        if start is None:
            scales = np.geomspace(0.03, 1.0, effort.rays[0])
            self.level(Coarse(self.menus, scales), effort.coarse)
        else:
            self.descend([start])
        scales = np.geomspace(0.7, 1.4, effort.rays[1])
        for radius in effort.radii:
            before = self.place_cost
            for window in self.search.windows():
                if self.place is not None:
                    fine = Fine(self.menus, window, self.place, radius, scales)
                    self.level(fine, effort.fine)
            if self.place_cost == before:
                break
        if self.place is not None:
            design = self.menus.designs(np.array([self.place.mix]), self.place.positions[None])
            self.refine(design[0], self.place_cost)

    def descend(self, places: Sequence[Place]) -> None:
        """Local search from each of the places along the menus of its mix."""
        if not places:
            return
        mixes = np.array([place.mix for place in places])
        tops = self.menus.length(mixes) - 1

        def costs(positions: Ints, start: Ints) -> Floats:
            designs = self.menus.designs(mixes[start], positions)
            return self.cost_of(self.search.score(designs, inside=False))

        starts = np.minimum([place.positions for place in places], tops)
        first = costs(starts, np.arange(len(places)))
        ends = polish(starts, first, costs, self.search.menu_changes, tops)
        for mix, positions, cost in zip(mixes.tolist(), ends[0], ends[1].tolist(), strict=True):
            if cost < self.place_cost:
                self.place, self.place_cost = Place(mix, positions), cost

    def refine(self, design: Ints, cost: float) -> None:
        """Local search in the variables themselves, which sees what menus leave out."""

        def costs(designs: Ints, _: Ints) -> Floats:
            return self.cost_of(self.search.score(designs, inside=False))

        changes, tops = self.search.changes, self.search.tops
        (design,), (cost,) = polish(design[None], np.array([cost]), costs, changes, tops)
        if cost < self.cost:
            self.design, self.cost = design, float(cost)

    def level(self, level: Coarse | Fine, points: int) -> None:
        """One run of ``scipy.optimize.shgo`` on a level."""
        with without_collection():
            for package, homes in _POSTPONED.items():
                postpone(package, homes)
            from scipy.optimize import OptimizeResult, shgo  # noqa: PLC0415 (slow to import)

        sampled: dict[tuple[float, ...], tuple[float, Place]] = {}
        best: list[tuple[float, Place]] = []
        minimisers: list[Place] = []

        def score(_: Callable[..., float], vertices: Iterable[Floats]) -> Floats:
            """Called by shgo with every vertex of the complex at once."""
            stack = np.array(list(vertices))
            mix, positions = level.places(stack)
            count, length, groups = positions.shape
            designs = self.menus.designs(mix.ravel(), positions.reshape(-1, groups))
            costs = self.cost_of(self.search.score(designs, inside=True)).reshape(count, length)
            for row, at in enumerate(costs.argmin(axis=1)):
                place = Place(int(mix[row, at]), positions[row, at])
                sampled[tuple(stack[row].tolist())] = (float(costs[row, at]), place)
            if isinstance(level, Coarse):
                best.extend(_best_of_each_cap(costs, mix, positions, self.menus.caps))
            return np.asarray(costs.min(axis=1))

        def one(x: Floats) -> float:
            return float(score(one, [x])[0])

        def local(x0: Floats) -> Any:
            """Note a minimiser of the complex: the local search starts from all at once."""
            cost, place = sampled[tuple(x0.tolist())]
            minimisers.append(place)
            return OptimizeResult(x=x0, fun=cost, nfev=0, success=True)

        with _without_samplers():
            shgo(
                one,
                level.bounds,
                n=points,
                sampling_method="simplicial",
                minimizer_kwargs={"method": _Local(local)},
                workers=score,
            )
        # The complex may have no strict minimiser (plateaus): its best vertex still counts. So
        # does the best under each cap: the basins of a maximum are many and narrow.
        best.append(min(sampled.values(), key=lambda pair: pair[0]))
        self.descend(minimisers)
        several = self.menus.caps > 1
        self.descend(
            [p for cost, p in best if cost < _BEYOND and (several or cost < self.place_cost)]
        )
        if self.place is None:
            self.descend([best[-1][1]])


@contextlib.contextmanager
def _without_samplers() -> Iterator[None]:
    """Within it ``shgo`` does not import ``scipy.stats``, which takes longer than a search.

    shgo (scipy 1.11 to 1.17) does ``from scipy.stats import qmc`` on every call, for its Sobol
    and Halton samplers; the simplicial complex uses neither. So an empty module stands in for
    it, unless it is there already or another thread might import it meanwhile.
    """
    name = "scipy.stats"
    if name in sys.modules or threading.active_count() > 1:
        yield
        return
    stand_in: Any = ModuleType(name)
    stand_in.qmc = None
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]


def _best_of_each_cap(
    costs: Floats, mix: Ints, positions: Ints, caps: int
) -> list[tuple[float, Place]]:
    """The cheapest sample under each cap, if there are several."""
    found = []
    for cap in range(caps if caps > 1 else 0):
        own = np.where(mix % caps == cap, costs, np.inf)
        row, at = np.unravel_index(own.argmin(), own.shape)
        found.append((float(own[row, at]), Place(int(mix[row, at]), positions[row, at])))
    return found


class _Local:
    """A local minimiser in the form shgo takes.

    shgo (scipy 1.11 to 1.17) calls ``method.lower()`` even on a callable and then looks the
    result up among its solvers; ``_custom`` is its own name for callables.
    """

    def __init__(self, search: Callable[[Floats], Any]) -> None:
        self._search = search

    @staticmethod
    def lower() -> str:
        """The name under which shgo files this method."""
        return "_custom"

    def __call__(self, fun: object, x0: Floats, *args: object, **options: Any) -> Any:
        return self._search(x0)


def penalised(
    scalar: Callable[[Floats], Floats], columns: Sequence[int], limits: Sequence[tuple[int, Limit]]
) -> Callable[[Floats], Floats]:
    """Cost to minimise: the scalar negated; beyond a limit, above all that and by the excess.

    columns: where the scalar's objectives are among the values, and (column, limit) pairs.
    """

    def cost(values: Floats) -> Floats:
        result = -scalar(values[:, columns])
        excess = np.zeros(len(values))
        for column, limit in limits:
            beyond = (values[:, column] - limit.bound) * limit.quantity.sign
            excess += np.maximum(beyond, 0.0) / (abs(limit.bound) + 1e-30)
        return np.asarray(np.where(excess > 0, _BEYOND * (1 + excess), result))

    return cost
