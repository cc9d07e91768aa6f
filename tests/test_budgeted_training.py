"""``flash.search --evaluator calibrate:DATA``: designs trained as ``flash.calibrate`` trains."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flash.command import run_command
from flash.search import command as search_command
from flash.search.budgeted.training import TrainingEvaluator
from flash.spaces.space import load_space
from flash.training.images import ImageSet
from flash.training.jobs import Failed, Finished
from flash.training.recipe import recipe_named
from flash.training.results import read_results

pytest.importorskip("torch", reason="needs the extra train")

from image_sets import coloured, train_in_process, write_archive, write_space  # noqa: E402


def command(*arguments):
    return run_command(search_command.main, list(map(str, arguments)))


def test_designs_are_trained_once_and_kept_in_a_table_of_calibration(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("flash.training.trainer.train_here", train_in_process)
    space, images = write_space(tmp_path), write_archive(tmp_path)
    arguments = (
        "--space", space, "--target", "rpi3b", "--search", "aggregate", "--budget", "3",
        "--evaluator", f"calibrate:{images}", "--evaluator-epochs", "1",
        "--candidates", "20", "--out", tmp_path / "out", "--json", "-",
    )  # fmt: skip
    assert command(*arguments) == 0
    first = capsys.readouterr()
    rows = read_results(tmp_path / "out" / "calibrate.csv")
    assert len(rows) == 3 and {row.split for row in rows} == {"extra"}
    assert {row.recipe for row in rows} == {"quick/epochs=1"}
    assert first.err.count("% in") == 3
    assert command(*arguments) == 0
    again = capsys.readouterr()
    assert "% in" not in again.err  # nothing was trained again
    found, repeated = json.loads(first.out), json.loads(again.out)
    assert (found["budget"]["reused"], repeated["budget"]["reused"]) == (0, 3)
    assert found["best"]["trained_accuracy"] == max(row.validation_accuracy for row in rows)
    assert found["best"] == repeated["best"]


def test_designs_asked_for_together_are_trained_together_and_failures_told(tmp_path):
    """A trainer that trains nothing: accuracy 50 + the first width, wide ones fail."""
    space = load_space(str(write_space(tmp_path)))
    images = ImageSet("colours", *coloured(12), *coloured(6, 1), classes=("r", "g", "b"))
    calls = []

    def trainer(jobs, folder):
        calls.append(len(jobs))
        for job in jobs:
            (design,) = space.decode(space.parse(job.design)[None])
            if design[0] == 12:
                yield Failed(job, "too wide")
            else:
                yield Finished(job, 50.0 + design[0], 40.0, (), 6, 1.0, "none")

    evaluator = TrainingEvaluator(
        4, space, str(tmp_path / "tiny.toml"), images, recipe_named("quick"), trainer,
        tmp_path / "t.csv",
    )  # fmt: skip
    designs = np.array([[w, 0, 0, 0, 0, 0] for w in (0, 1, 0, 2)])
    np.testing.assert_array_equal(evaluator.accuracy(designs), [54.0, 58.0, 54.0, np.nan])
    assert calls == [3]
    assert [trial.failure for trial in evaluator.trials] == ["", "", "too wide"]
    assert evaluator.left == 1
    more = np.array([[0, 1, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0]])  # one more than the budget
    np.testing.assert_array_equal(evaluator.accuracy(more), [54.0, np.nan])
    assert calls == [3, 1]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (["--evaluator", "calibrate:nowhere"], "no such file or folder"),
        (["--evaluator", "calibrate:"], "names no data: give calibrate:DATA"),
        (["--evaluator", "supernet:"], "names no data: give supernet:DATA"),
        (["--evaluator", "t.csv", "--evaluator-timeout", "3s"], "leave it out with a table"),
        (["--evaluator", "calibrate:x", "--evaluator-timeout", "3s"], "is for programs"),
        (["--evaluator", "true", "--evaluator-epochs", "3"], "goes with --evaluator calibrate"),
    ],
)
def test_options_that_do_not_go_together_are_told(tmp_path, capsys, extra, told):
    space = write_space(tmp_path)
    code = command("--space", space, "--search", "random", "--out", tmp_path / "out", *extra)
    assert (code, told in capsys.readouterr().err) == (4 if "no such" in told else 2, True)
