"""Scores of many networks: kept on disk, computed by workers that may be killed, on a cluster."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from flash.errors import FlashError, InputError, UsageError
from flash.proxies.cache import Entry, Key, ScoreCache, network_digest
from flash.proxies.job import Job, Setting
from flash.spaces.network import GraphEmitter
from flash.workers import Begun, Done, Lost, run_here

pytest.importorskip("torch", reason="needs the extra torch")

from flash.proxies import many, score_network  # noqa: E402
from flash.proxies.many import perform_in_worker, score_networks  # noqa: E402


def _network(width):
    e = GraphEmitter()
    source = e.source(3, 8, 8)
    return e.network(source, e.linear(e.global_pool(e.conv(source, width)), 5))


NETWORKS = [_network(width) for width in (4, 6, 8)]
SETTING = Setting(batch=4)


def test_scores_are_those_of_each_network_alone():
    found = score_networks(NETWORKS, ["snip", "naswot"], SETTING)
    for number, network in enumerate(NETWORKS):
        alone = score_network(network, ["snip", "naswot"], batch=4)
        assert {name: found.values[name][number] for name in alone} == alone
    assert found.computed == 3


def test_what_is_in_the_cache_is_not_computed_again(tmp_path, monkeypatch):
    cache = tmp_path / "deep" / "scores.sqlite"
    first = score_networks(NETWORKS, ["snip"], SETTING, cache=cache)
    monkeypatch.setattr(many, "perform", None)  # calling it would fail
    again = score_networks(NETWORKS, ["snip"], SETTING, cache=cache)
    assert again.computed == 0
    assert again.values["snip"].tolist() == first.values["snip"].tolist()


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    cache, seen = tmp_path / "scores.sqlite", []

    def stop(done, total, seconds_left):
        seen.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_networks(NETWORKS, ["snip"], SETTING, cache=cache, progress=stop)
    assert seen == [(1, 3), (2, 3)]
    assert score_networks(NETWORKS, ["snip"], SETTING, cache=cache).computed == 1


def test_another_seed_batch_proxy_or_version_is_another_score(tmp_path):
    key = Key("abc", "snip", 0, 32)
    with ScoreCache(tmp_path / "s.sqlite") as cache:
        cache.put(key, Entry(1.5, "", 0.1))
        others = [
            replace(key, network="abd"), replace(key, proxy="zico"), replace(key, seed=1),
            replace(key, batch=64), replace(key, data="x"), replace(key, version=99),
        ]  # fmt: skip
        assert cache.get([key, *others]) == {key: Entry(1.5, "", 0.1)}


def test_reasons_are_kept_as_well(tmp_path):
    e = GraphEmitter()
    source = e.source(3, 8, 8)
    plain = e.network(source, e.linear(source, 5))
    cache = tmp_path / "s.sqlite"
    for computed in (1, 0):
        found = score_networks([plain], ["naswot"], SETTING, cache=cache)
        assert found.failures == {(0, "naswot"): "the network has no ReLU or similar activation"}
        assert found.computed == computed


def test_the_same_network_twice_is_computed_once():
    found = score_networks([NETWORKS[0], NETWORKS[1], NETWORKS[0]], ["snip"], SETTING)
    assert found.computed == 2
    assert found.values["snip"][0] == found.values["snip"][2]


def test_digest_tells_networks_apart_and_does_not_see_names():
    assert len({network_digest(network) for network in NETWORKS}) == 3
    layers = tuple(replace(layer, name=f"other {layer.name}") for layer in NETWORKS[0].layers)
    assert network_digest(replace(NETWORKS[0], layers=layers)) == network_digest(NETWORKS[0])
    other = tuple(replace(layer, act="tanh") for layer in NETWORKS[0].layers)
    assert network_digest(replace(NETWORKS[0], layers=other)) != network_digest(NETWORKS[0])


def test_a_full_disk_is_told_as_one(tmp_path):
    with ScoreCache(tmp_path / "s.sqlite") as cache:
        cache._base.execute("PRAGMA max_page_count = 3")  # SQLite's own word for a full disk
        with pytest.raises(FlashError, match=r"cannot write .*s\.sqlite: No space left") as told:
            for number in range(200):
                cache.put(Key(str(number), "p", 0, 1, "d", 1), Entry(1.0, "x" * 100, 0.1))
    assert told.value.exit_code == 1


def test_a_file_that_is_no_cache_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, not a database " * 50)
    with pytest.raises(InputError, match=r"notes\.txt: cannot be used as a cache of scores"):
        score_networks(NETWORKS, ["snip"], SETTING, cache=path)
    assert path.read_text().startswith("my notes")


def test_a_base_of_somebody_else_gets_no_table(tmp_path):
    path = tmp_path / "photos.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE photos (name TEXT)")
    base.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="a cache of scores: it has the table 'photos'"):
        ScoreCache(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_half_written_transactions_are_undone(tmp_path):
    path, key = tmp_path / "s.sqlite", Key("a", "snip", 0, 2)
    with ScoreCache(path) as cache:
        cache.put(key, Entry(1.0, "", 0.0))
    cut = sqlite3.connect(path, isolation_level=None)
    cut.execute("BEGIN")
    cut.execute("UPDATE scores SET value = 2")
    cut.close()  # as a kill would
    with ScoreCache(path) as cache:
        assert cache.get([key])[key].value == 1.0


class _Deadly(Setting):
    """Kills the process that uses it, while the file it names is there."""

    @property
    def batch(self):
        import pathlib

        path = pathlib.Path(os.environ["DEADLY"])
        if path.exists():
            if path.read_text() == "once":
                path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return 4

    @batch.setter
    def batch(self, value):
        pass


def _jobs():
    return [Job(number, network, ("snip",)) for number, network in enumerate(NETWORKS[:2])]


@pytest.fixture
def deadly(monkeypatch, tmp_path):
    def make(how):
        (tmp_path / "deadly").write_text(how)
        monkeypatch.setenv("DEADLY", str(tmp_path / "deadly"))
        setting = object.__new__(_Deadly)
        for name, value in (("seed", 0), ("device", "cpu"), ("data", None)):
            object.__setattr__(setting, name, value)
        return setting

    return make


def test_a_killed_worker_is_replaced_and_its_network_scored(deadly):
    *begun, done = run_here(perform_in_worker, deadly("once"), _jobs()[:1], 1)
    assert [type(event) for event in begun] == [Begun, Begun] and isinstance(done, Done)
    here = score_network(NETWORKS[0], ["snip"], batch=4)["snip"]
    # Sums of one thread round otherwise than those of several.
    assert done.result["snip"][0] == pytest.approx(here, rel=1e-6)


@pytest.mark.slow
def test_a_network_that_kills_every_worker_is_given_up_with_a_reason(deadly):
    *_, end = run_here(perform_in_worker, deadly("always"), _jobs()[:1], 1)
    assert isinstance(end, Lost) and end.why == "the worker was killed by signal 9, 3 times"


def test_workers_compute_what_this_process_does():
    found = score_networks(NETWORKS, ["snip"], SETTING, workers=2)
    here = score_networks(NETWORKS, ["snip"], SETTING)
    assert found.values["snip"] == pytest.approx(here.values["snip"], rel=1e-5)
    assert np.isfinite(found.values["snip"]).all()


def test_no_workers_are_refused():
    with pytest.raises(UsageError, match="1 worker or more"):
        score_networks(NETWORKS, ["snip"], workers=0)


@pytest.mark.slow
def test_what_a_worker_finds_wrong_is_told():
    with pytest.raises(UsageError, match="2 images or more"):
        score_networks(NETWORKS, ["snip"], Setting(batch=1), workers=2)


def test_no_cluster_at_the_address_is_told():
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(UsageError, match="no Ray cluster at"):
        score_networks(NETWORKS, ["snip"], SETTING, ray="127.0.0.1:1")


@pytest.mark.slow
def test_a_cluster_computes_what_this_process_does():
    pytest.importorskip("ray", reason="needs the extra ray")
    found = score_networks(NETWORKS, ["snip"], SETTING, ray="local")
    here = score_networks(NETWORKS, ["snip"], SETTING)
    assert found.values["snip"] == pytest.approx(here.values["snip"], rel=1e-5)


_KILLED = """
import os, signal, sqlite3, sys
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("PRAGMA cache_size = 2")
base.execute("BEGIN")
for k in range(500):
    base.execute("INSERT INTO scores VALUES (?, 'p', 0, 1, '', 1, 0.5, '', 0.1)", (f"{k}" * 50,))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_cache_whose_writer_was_killed_has_what_was_finished(tmp_path):
    path, key = tmp_path / "scores.sqlite", Key("n", "naswot", 0, 1)
    with ScoreCache(path) as cache:
        cache.put(key, Entry(1.0, "", 0.1))
    subprocess.run([sys.executable, "-c", _KILLED, str(path)])
    assert (tmp_path / "scores.sqlite-journal").stat().st_size > 0
    with ScoreCache(path) as cache:
        assert cache.get([key, Key("0" * 50, "p", 0, 1)]) == {key: Entry(1.0, "", 0.1)}
    assert [one.name for one in tmp_path.iterdir()] == ["scores.sqlite"]
