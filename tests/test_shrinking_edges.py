"""AutoShrink: which edges can go, which removal stays, what is chosen; who dies in evolution."""

from __future__ import annotations

import json

import numpy as np
import pytest
from searched_table import table

from flash.command import run_command
from flash.errors import UsageError
from flash.evaluation import measure
from flash.search import command as search_command
from flash.search.budgeted import (
    Candidates,
    Edges,
    FunctionEvaluator,
    all_designs,
    removable_edges,
    run_strategy,
)
from flash.search.budgeted.autoshrink import autoshrink, shrink_score
from flash.search.budgeted.evolution import evolution
from flash.spaces.space import load_space

#: Three edges, each there (1) or not: MACs and accuracy of what is left.
_MACS = np.array([8e6, 1e6, 1e6])
_ACCURACY = np.array([2.0, 30.0, 40.0])


def _edges():
    def without(design):
        fewer = np.repeat(design[None], 3, axis=0)
        np.fill_diagonal(fewer, 0)
        return fewer[(fewer != design).any(axis=1) & fewer.any(axis=1)]

    return Edges(np.array([1, 1, 1]), without, lambda designs: designs @ _MACS)


def _candidates(rows=slice(None), edges=None):
    designs = all_designs((2, 2, 2))[rows]
    return Candidates((2, 2, 2), designs, ("n",), designs.sum(1)[:, None], edges=edges or _edges())


def _evaluator(budget=20):
    return FunctionEvaluator(budget, lambda design: 20 + float(design @ _ACCURACY))


def test_the_score_is_the_source_s_in_shares_of_one():
    found = shrink_score(np.array([93.0, 93.0, np.nan]), np.array([1e8, 1e7, 1e7]))
    assert found[:2] == pytest.approx([0.93 - 0.2, 0.93 - 0.1]) and np.isnan(found[2])


def test_the_removal_of_the_best_score_stays_and_the_best_of_all_is_chosen():
    found = run_strategy("autoshrink", _candidates(), _evaluator(), 0)
    order = [trial.design for trial in found.trials]
    assert order[0] == (1, 1, 1)
    assert set(order[1:4]) == {(0, 1, 1), (1, 0, 1), (1, 1, 0)}
    # Without the dear edge: 90 % at 2 M, .8699; all three are 92 % at 10 M, .82. It is shrunk on.
    assert set(order[4:]) == {(0, 0, 1), (0, 1, 0)}
    assert found.best.design == (0, 1, 1)
    assert found.best.accuracy < max(trial.accuracy for trial in found.trials)
    assert found.details["score"] == pytest.approx(0.9 - 0.1 * np.log10(2))


def test_designs_over_the_limits_are_passed_through_and_not_trained():
    small = all_designs((2, 2, 2)).sum(axis=1) == 1
    found = run_strategy("autoshrink", _candidates(small), _evaluator(), 0)
    assert found.trials and all(sum(trial.design) == 1 for trial in found.trials)


def test_fewer_removals_a_round_are_drawn_at_random():
    rounds = []
    for seed in range(8):
        spent = _evaluator(3)
        autoshrink(_candidates(), spent, np.random.default_rng(seed), removals=1)
        rounds.append(spent.trials[1].design)
    assert len(set(rounds)) > 1


def test_networks_without_removable_edges_are_refused():
    candidates = _candidates()
    candidates.edges = None
    with pytest.raises(UsageError, match="nasbench201 or nasbench101"):
        run_strategy("autoshrink", candidates, _evaluator(), 0)
    for name in ("cifar10-concat", "darts-cifar10"):  # a DARTS node reads exactly two others
        assert removable_edges(load_space(name)) is None


def test_the_densest_cell_of_nasbench201_loses_an_edge_and_what_that_leaves_dead():
    edges = removable_edges(load_space("nasbench201"))
    assert edges.densest.tolist() == [3] * 6
    fewer = edges.without(edges.densest)
    # Without the first edge nothing reaches node 1, without the last nothing reads node 2.
    assert sorted((fewer == 0).sum(axis=1).tolist()) == [1, 1, 1, 1, 3, 3]
    # 0->1, 1->3 and the direct edge: without 0->1 nothing reaches 1->3.
    left = edges.without(np.array([3, 0, 0, 3, 3, 0]))
    assert left.tolist() == [[0, 0, 0, 3, 0, 0], [3, 0, 0, 0, 3, 0]]
    assert len(edges.without(np.array([0, 0, 0, 3, 0, 0]))) == 0


@pytest.mark.parametrize("name", ["nasbench201", "nasbench101"])
def test_each_removal_is_another_smaller_network_of_the_space(name):
    space = load_space(name)
    edges = removable_edges(space)
    here = edges.densest
    for _ in range(3):
        fewer = edges.without(here)
        assert len(np.unique(fewer, axis=0)) == len(fewer) > 0
        live = space.table(fewer).live.sum(axis=0)
        assert (live < space.table(here[None]).live.sum(axis=0)).all()
        np.testing.assert_array_equal(edges.macs(fewer), measure(space, fewer).macs)
        here = fewer[np.argmax(live)]


def test_an_edge_less_of_nasbench101_is_a_path_less():
    space = load_space("nasbench101")
    family = space.family
    built = family.densest(
        {n: g.tolist() for n, g in zip(space.variables, space.grids, strict=True)}
    )
    count = family.matrix(built).sum()
    assert count == 9 and family.canonical(built) == built
    for fewer in family.without_an_edge(built):
        assert family.matrix(fewer).sum() < count and family.canonical(fewer) == fewer


def test_ranges_that_hold_no_none_leave_the_edge(tmp_path):
    space = load_space("nasbench201")
    narrow = space.narrowed([np.arange(5)] * 5 + [np.array([2, 3])])
    edges = removable_edges(narrow)
    fewer = edges.without(edges.densest)
    assert len(fewer) == 5 and (fewer[:, 5] == 1).all()


def test_the_command_shrinks_cells_of_a_table(tmp_path, capsys):
    space = load_space("nasbench201")
    designs = all_designs([2] * 6) * 3
    path = tmp_path / "known.csv"
    rows = [f"{space.describe(d)},{60 + 5 * (d > 0).sum()}" for d in designs]
    path.write_text("\n".join(["design,accuracy", *rows]) + "\n")
    arguments = ["--space", "nasbench201", "--target", "rpi4b", "--search", "autoshrink",
                 "--budget", "30", "--evaluator", str(path), "--json", "-"]  # fmt: skip
    assert run_command(search_command.main, arguments) == 0
    document = json.loads(capsys.readouterr().out)
    best = document["best"]["trained_accuracy"]
    assert document["details"]["score"] < best / 100
    chosen = document["evaluations"][document["details"]["chosen"]]
    assert chosen["accuracy"] == best


def test_a_table_without_a_cell_on_the_way_is_nothing_done(tmp_path, capsys):
    space = load_space("nasbench201")
    path = tmp_path / "known.csv"
    cell = space.describe(np.array([0, 0, 0, 1, 0, 0]))
    path.write_text(f"design,accuracy\n{cell},60\n", encoding="utf-8")
    arguments = ["--space", "nasbench201", "--target", "rpi4b", "--search", "autoshrink",
                 "--budget", "30", "--evaluator", str(path), "--json", "-"]  # fmt: skip
    assert run_command(search_command.main, arguments) == 5
    assert "autoshrink trained nothing" in capsys.readouterr().err


# --------------------------------------------------------------------------------- who dies
def test_where_the_worst_dies_the_fittest_founder_still_breeds_at_the_end(monkeypatch):
    """The mean fitness of what is alive only rises; where the oldest dies it may fall."""
    from flash.search.budgeted import evolution as module  # noqa: PLC0415 (its parts are replaced)

    parents = []

    def crossed(mothers, fathers, rng):
        parents.append(mothers)
        return mothers, fathers

    monkeypatch.setattr(module, "crossed", crossed)
    lowest = {}
    for worst in (False, True):
        parents.clear()
        candidates = table(("wide",))
        spent = FunctionEvaluator(1, lambda design: 1.0)
        evolution(candidates, spent, np.random.default_rng(0), 10, 300, 2, worst_dies=worst)
        scores = [candidates.score(rows)[:, 0].min() for rows in parents]
        lowest[worst] = min(scores[-5:])
    assert lowest[True] > lowest[False]


def test_a_preferred_size_is_where_evolution_ends():
    designs = all_designs((2, 40))
    params = designs[:, 1] * 0.05e6
    scores = np.stack([designs[:, 0], params], axis=1).astype(float)
    candidates = Candidates((2, 40), designs, ("good", "params"), scores)
    for target in (0.5, 1.5):
        spent = FunctionEvaluator(1, lambda design: 1.0)
        evolution(candidates, spent, np.random.default_rng(0), target_m=target)
        assert params[np.ravel_multi_index(spent.trials[0].design, (2, 40))] == target * 1e6
    with pytest.raises(UsageError, match="params"):
        evolution(table(), FunctionEvaluator(1, float), np.random.default_rng(0), target_m=1.0)
