"""Eproxy: the loss of its task by hand, what trains and what is frozen; the search of a task."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")

from flash.proxies import score_network  # noqa: E402
from flash.proxies.eproxy import (  # noqa: E402
    DEFAULT,
    TARGETS,
    _head,
    _target,
    stage_ends,
    task_loss,
)
from flash.proxies.probe import NoScore, Probe  # noqa: E402
from flash.spaces.space import load_space  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import search_proxy_task as dps  # noqa: E402

#: A task that takes milliseconds.
QUICK = replace(DEFAULT, steps=3, channels=4, branches=2)


@pytest.fixture(scope="module")
def networks():
    space = load_space("nasbench201")
    family = type(space.family)(space.family.shape, 10, {"cells": 1, "channels": 4})
    small = replace(space, family=family)
    rng = np.random.default_rng(0)
    return [small.network(design).live() for design in rng.integers(1, 5, size=(5, 6))]


def _probe(network, batch=4):
    return Probe(network, seed=0, batch=batch, device="cpu")


def test_stages_end_where_the_map_shrinks(networks):
    network = networks[0]
    ends = stage_ends(network)
    assert [int(network.layers[end].out_height) for end in ends] == [32, 16, 8]
    assert [int(network.layers[end].out_channels) for end in ends] == [4, 8, 16]


def test_before_a_step_the_loss_is_that_of_the_parts(networks):
    probe, task = _probe(networks[0]), replace(QUICK, steps=0)
    ends = stage_ends(networks[0])[-2:]
    module = probe.module()
    expected = 0.0
    for back, k in ((1, 0), (0, 1)):
        seen = {}
        module(probe.images(), lambda n, result, seen=seen: seen.setdefault(n, result))
        x = torch.nn.functional.interpolate(seen[ends[k]], (8, 8), mode="bilinear")
        head = _head(probe, task, k, x.shape[1])
        error = (head(x) - _target(probe, task, k)) ** 2
        expected += float(error.detach().mean()) / 2**back
    assert task_loss(_probe(networks[0]), task) == pytest.approx(expected, rel=1e-4)


def test_training_lowers_the_loss_and_the_barrier_stays(networks):
    task = replace(QUICK, steps=8, rate=0.3)
    assert task_loss(_probe(networks[0]), task) < task_loss(
        _probe(networks[0]), replace(task, steps=0)
    )
    head = _head(_probe(networks[0]), task, 0, 4)
    assert [p.requires_grad for p in head[3].parameters()] == [False]
    assert all(p.requires_grad for p in head[0].parameters())


@pytest.mark.parametrize("kind", TARGETS)
def test_targets_have_the_level_asked_for_and_the_same_seed_the_same(networks, kind):
    task = replace(QUICK, targets=(kind,), level=1.7)
    first, again = (_target(_probe(networks[0]), task, 0) for _ in range(2))
    assert first.shape == (4, 4, 8, 8) and torch.equal(first, again)
    assert float(first.mean()) == pytest.approx(0, abs=1e-5)
    assert float(first.std()) == pytest.approx(1.7, rel=1e-4)


def test_the_proxy_is_minus_the_default_task_s_loss_and_the_same_every_time(networks):
    found = score_network(networks[1], ["eproxy"], seed=0, batch=4)["eproxy"]
    assert found == -task_loss(_probe(networks[1]), DEFAULT)


def test_a_loss_that_is_no_number_is_no_score(networks):
    with pytest.raises(NoScore, match="no number after"):
        task_loss(_probe(networks[0]), replace(QUICK, rate=1e30, steps=5))


# ---------------------------------------------------------------------------- search of a task
def test_macs_take_their_share_of_the_score(networks):
    plain = dps.scores(networks, replace(QUICK, steps=0), 0)
    dear = dps.scores(networks, replace(QUICK, steps=0, alpha=0.5), 0)
    macs = np.array([network.macs for network in networks])
    np.testing.assert_allclose(dear, plain * (1 - 0.5 * macs / macs.max()))


def test_the_search_keeps_the_best_task_and_begins_with_the_default(monkeypatch):
    """A task is as good as its rate: fitness by the rank of networks that rise with it."""

    def scores(networks, task, seed):
        noise = np.random.default_rng(0).normal(size=20)
        return task.rate * np.arange(20) + 10 * noise

    monkeypatch.setattr(dps, "scores", scores)
    truth = np.arange(20.0)
    alone = dps.search([], truth, 1, 4, 2, 0)
    task, fitness = dps.search([], truth, 60, 8, 3, 0)
    assert alone[0] == DEFAULT and fitness > alone[1] and task.rate > DEFAULT.rate
    assert dps.search([], truth, 60, 8, 3, 0) == (task, fitness)


def test_a_mutant_differs_and_stays_in_the_ranges():
    rng = np.random.default_rng(0)
    for _ in range(50):
        task = dps.mutated(dps.drawn(rng), rng)
        assert 0.5 <= task.rate <= 1.5 and task.kernel in (1, 3, 7) and task.branches in (1, 2, 3)
        assert set(task.targets) <= set(TARGETS) and task.targets


def test_the_script_searches_a_table(tmp_path, monkeypatch, capsys):
    space = load_space("nasbench201")
    designs = np.random.default_rng(0).integers(1, 5, size=(6, 6))
    table = tmp_path / "t.csv"
    rows = [f"{space.describe(design)},{70 + k}" for k, design in enumerate(designs)]
    table.write_text("\n".join(["design,accuracy", *rows]) + "\n")
    monkeypatch.setattr(dps, "_loss", lambda network, task, seed: 1e9 / network.macs)
    out = tmp_path / "task.json"
    dps.main([str(table), "--fit", "3", "--held-out", "3", "--configurations", "4",
              "--population", "2", "--tournament", "2", "--out", str(out)])  # fmt: skip
    told = capsys.readouterr().out
    assert "on 3 others: the default task" in told and '"rate"' in out.read_text()
