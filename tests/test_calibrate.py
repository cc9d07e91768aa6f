"""Calibration as its user meets it: killed, continued, enlarged, and given wrong things."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flash.calibrate import command as calibrate_command

pytest.importorskip("torch", reason="needs the extra train")

from image_sets import train_in_process, write_archive, write_space  # noqa: E402

from flash.accuracy.storage import accuracy_of, accuracy_text  # noqa: E402
from flash.calibrate.fitting import fit_rows, judge  # noqa: E402
from flash.command import run_command  # noqa: E402
from flash.quantities import format_count  # noqa: E402
from flash.spaces.space import load_space  # noqa: E402
from flash.training.datasets import read_images  # noqa: E402
from flash.training.jobs import Failed, Finished, Job, Progress, Started  # noqa: E402
from flash.training.recipe import recipe_named  # noqa: E402
from flash.training.results import read_results  # noqa: E402
from flash.training.worker import perform  # noqa: E402
from flash.training.workers import train_here  # noqa: E402

DESIGNS = ("w=4,4 d=3,3 t=0,0", "w=8,4 d=3,3 t=4,0")
RECIPE = recipe_named("quick").varied(3)


@pytest.fixture
def place(tmp_path):
    """A folder with ``tiny.toml`` and ``colours.npz``."""
    write_space(tmp_path)
    write_archive(tmp_path)
    return tmp_path


def _images(place):
    return read_images(place / "colours.npz", load_space(str(place / "tiny.toml")).family.shape, 3)


def _jobs(place):
    with (place / "images.npz").open("wb") as file:
        _images(place).save(file)
    return [Job(str(place / "tiny.toml"), design, RECIPE, 0) for design in DESIGNS]


def _trained_alone(place, design):
    space = load_space(str(place / "tiny.toml"))
    network = space.network(space.design(space.family.parse(design)))
    return perform(network, _images(place), RECIPE, 0)["done"]["validation_accuracy"]


def _children():
    """Training workers of this process (other tests leave helpers of multiprocessing behind)."""
    place = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    if not place.exists():
        pytest.skip("this kernel does not list a process's children")
    children = [int(number) for number in place.read_text().split()]
    return [n for n in children if b"flash.workers" in _command(n)]


def _command(process):
    """A process's command line; one that was started just now has none for a moment."""
    place = Path(f"/proc/{process}/cmdline")
    for _ in range(50):
        if text := place.read_bytes():
            return text
        time.sleep(0.01)
    return b""


@pytest.fixture
def in_process(monkeypatch):
    """Trainings in this process: what a worker does, without its start."""
    monkeypatch.setattr("flash.training.trainer.train_here", train_in_process)


@pytest.fixture
def learning(monkeypatch, in_process):
    """Those trainings with accuracies of networks that learned something, by their size."""
    trained = sys.modules["flash.training.trainer"].train_here

    def train(jobs, folder, workers):
        for event in trained(jobs, folder, workers):
            if isinstance(event, Finished):
                space = load_space(event.job.space)
                design = space.design(space.family.parse(event.job.design))
                accuracy = 90 - 3e4 / space.network(design).macs
                event = replace(event, validation_accuracy=accuracy)
            yield event

    monkeypatch.setattr("flash.training.trainer.train_here", train)


def _calibrate(place, *arguments):
    """Exit code of the command on the tiny space, with one worker and few designs."""
    common = {
        "--space": place / "tiny.toml", "--data": place / "colours.npz", "--workers": 1,
        "--recipe": "quick", "--epochs": 1, "--samples": 2, "--held-out": 1,
        "--results": place / "trained.csv",
    }  # fmt: skip
    common |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    words = [str(word) for pair in common.items() for word in pair if word is not None]
    return run_command(calibrate_command.main, words)


# ----------------------------------------------------------------------------------- workers
def test_workers_train_what_one_process_trains(place):
    jobs = _jobs(place)
    events = list(train_here(jobs, place, 2))
    done = {
        event.job.design: event.validation_accuracy
        for event in events
        if isinstance(event, Finished)
    }
    assert done == {design: _trained_alone(place, design) for design in DESIGNS}
    assert [type(e) for e in events if e.job == jobs[0]][0] is Started
    assert _children() == []


def test_a_killed_worker_costs_an_epoch_at_most(place):
    jobs, shares, killed = _jobs(place)[:1], [], []
    for event in train_here(jobs, place, 1):
        if isinstance(event, Progress):
            shares.append(event.share)
            if event.share > 0.5 and not killed:
                killed += _children()
                os.kill(killed[0], signal.SIGKILL)
                shares = []
    assert killed and shares[0] > 0.2  # of three epochs, one was kept
    assert isinstance(event, Finished)
    assert event.validation_accuracy == _trained_alone(place, DESIGNS[0])


def test_a_job_that_kills_every_worker_is_given_up_and_the_next_one_done(place):
    jobs = _jobs(place)
    events = []
    for event in train_here(jobs, place, 1):
        events.append(event)
        if isinstance(event, Started) and event.job == jobs[0]:
            for child in _children():
                os.kill(child, signal.SIGKILL)
    ends = [event for event in events if isinstance(event, Failed | Finished)]
    assert [event.job for event in ends] == jobs and isinstance(ends[1], Finished)
    assert ends[0].reason.startswith("the worker was killed by signal 9, 3 times; see ")


# ----------------------------------------------------------------------------------- command
def test_a_table_grows_and_nothing_is_trained_twice(place, capsys, in_process):
    assert _calibrate(place) == 0
    first = read_results(place / "trained.csv")
    assert [row.split for row in first] == ["fit", "fit", "held_out"]
    assert {(row.space, row.data, row.recipe, row.epochs) for row in first} == {
        ("tiny", "colours", "quick/epochs=1", 1)
    }
    assert "[3/3]" in capsys.readouterr().err
    assert _calibrate(place, "--samples", 3) == 0
    more = read_results(place / "trained.csv")
    assert more[:3] == first and [row.split for row in more[3:]] == ["fit"]
    assert len({row.design for row in more}) == 4
    assert sorted(p.name for p in place.iterdir()) == ["colours.npz", "tiny.toml", "trained.csv"]


def test_what_a_death_after_the_last_result_left_is_removed(place, in_process):
    assert _calibrate(place) == 0
    folder = place / "trained.training"
    folder.mkdir()
    first = read_results(place / "trained.csv")[0]
    recipe = recipe_named("quick").varied(1)
    (folder / Job(str(place / "tiny.toml"), first.design, recipe, 0).file).write_bytes(b"kept")
    (folder / "images.npz").write_bytes(b"kept")
    assert _calibrate(place) == 0
    assert not folder.exists()


def test_interrupted_it_keeps_what_is_trained_and_goes_on(place, capsys, monkeypatch):
    module = calibrate_command
    told = module._Log.__call__

    def interrupt(self, event, jobs):
        told(self, event, jobs)
        if isinstance(event, Finished):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module._Log, "__call__", interrupt)
        assert _calibrate(place) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert _children() == [] and len(read_results(place / "trained.csv")) == 1
    monkeypatch.setattr("flash.training.trainer.train_here", train_in_process)
    assert _calibrate(place) == 0
    assert len(read_results(place / "trained.csv")) == 3
    assert "[2/2]" in capsys.readouterr().err


def test_a_result_that_cannot_be_written_is_told_and_kept_for_the_next_run(
    place, capsys, monkeypatch, in_process
):
    calls = []
    write = sys.modules["flash.files.journal"].write_all

    def full_once(handle, content):
        calls.append(content)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        write(handle, content)

    monkeypatch.setattr("flash.files.journal.write_all", full_once)
    assert _calibrate(place) == 0
    error = capsys.readouterr().err
    assert "failed: its result was not kept: cannot write" in error and "No space left" in error
    assert len(read_results(place / "trained.csv")) == 2
    assert len(list((place / "trained.training").glob("*.pt"))) == 1
    assert _calibrate(place) == 0
    assert len(read_results(place / "trained.csv")) == 3
    assert not (place / "trained.training").exists()


def test_a_training_that_fails_again_does_not_keep_the_others_from_their_model(
    place, capsys, monkeypatch, learning
):
    several = ("--samples", 8, "--held-out", 2, "--images", 30)
    assert _calibrate(place, *several) == 0
    table = place / "trained.csv"
    *kept, _ = table.read_text().splitlines(keepends=True)
    table.write_text("".join(kept))  # as if the last had been cut, and now fails each time
    monkeypatch.setattr(
        "flash.training.loop._accuracy", lambda *given: (_ for _ in ()).throw(MemoryError())
    )
    capsys.readouterr()
    assert _calibrate(place, *several, "--out", place / "again.toml") == 0
    assert "failed    " in capsys.readouterr().out
    assert accuracy_of(load_space(str(place / "again.toml"))).provenance.networks == 8


def test_a_design_held_out_is_held_out_from_whatever_seed(place, learning):
    assert _calibrate(place, "--samples", 8, "--held-out", 2, "--images", 30) == 0
    rows = read_results(place / "trained.csv")
    aside = next(row for row in rows if row.split == "held_out")
    again = replace(aside, seed=7, split="extra", validation_accuracy=0.0)
    space = load_space(str(place / "tiny.toml"))
    recipe = recipe_named("quick").varied(1, 30)
    models = [fit_rows(space, given, recipe, "colours", "") for given in (rows, [*rows, again])]
    assert accuracy_text(models[0]) == accuracy_text(models[1])


def test_designs_of_a_list_are_trained_as_what_it_says(place, capsys, in_process):
    listed = place / "designs.txt"
    listed.write_text(
        "# of my own\nanchor w=8,8 d=3,3 t=0,4\n\nheld_out w=4,4 d=3,3 t=8,8  # odd\n"
    )
    assert _calibrate(place, "--designs", listed) == 0
    rows = read_results(place / "trained.csv")
    # Skip channels beyond what a cell has are none: both ways to write a design are one design.
    assert [(row.split, row.design) for row in rows] == [
        ("anchor", "w=8,8 d=3,3 t=0,4"), ("held_out", "w=4,4 d=3,3 t=8,8"),
    ]  # fmt: skip
    space = load_space(str(place / "tiny.toml"))
    for row in rows:
        network = space.network(space.design(space.family.parse(row.design)))
        assert (row.params, row.macs) == (network.params, network.macs)
        assert row.digest == _images(place).digest and len(row.curve) == 1
    assert _calibrate(place, "--designs", listed) == 0
    assert read_results(place / "trained.csv") == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fitted w=8,8 d=3,3 t=0,4", "line 1: expected one of fit, held_out, anchor, extra"),
        ("\nfit w=8,8", "line 2: "),
        ("fit w=8,8 d=3,3 t=0,4\nheld_out w=8,8 d=3,3 t=0,4", "t=0,4 is fit already"),
        ("# nothing", "lists no design"),
    ],
)
def test_a_list_of_designs_that_says_nothing_is_told(place, capsys, text, message):
    (place / "designs.txt").write_text(text)
    assert _calibrate(place, "--designs", place / "designs.txt") == 4
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_rows_of_other_images_of_the_same_name_are_not_used(place, in_process):
    assert _calibrate(place, "--samples", 1, "--held-out", 0) == 0
    write_archive(place, train=123)
    assert _calibrate(place, "--samples", 1, "--held-out", 0) == 0
    first, second = read_results(place / "trained.csv")
    assert first.design == second.design and first.digest != second.digest


def test_json_says_what_was_trained(place, capsys, in_process):
    assert _calibrate(place, "--json", "-", "--samples", 1, "--held-out", 0) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"] is None and document["file"] is None
    assert document["schema"] == "flash.calibration/1" and document["failed"] == []
    assert document["rows"][0]["split"] == "fit" and document["trained_now"] == 1


def test_models_and_judgements_ignore_test_accuracies(place, learning):
    assert _calibrate(place, "--samples", 8, "--held-out", 3, "--images", 30) == 0
    rows = read_results(place / "trained.csv")
    blind = [replace(row, test_accuracy=float("nan")) for row in rows]
    space, recipe = load_space(str(place / "tiny.toml")), recipe_named("quick").varied(1, 30)
    first, other = (fit_rows(space, given, recipe, "colours", "") for given in (rows, blind))
    assert accuracy_text(first) == accuracy_text(other)
    assert judge(space, first, rows) == judge(space, other, blind)


def test_networks_that_learned_nothing_become_no_model(place, capsys, in_process):
    assert _calibrate(place, "--samples", 8, "--held-out", 0, "--images", 30) == 4
    error = capsys.readouterr().err.splitlines()[-1]
    assert "0 of 8 trained networks learned something" in error
    assert len(read_results(place / "trained.csv")) == 8
    assert not (place / "tiny.toml").read_text().count("[accuracy]")


def test_where_every_training_fails_nothing_was_done(place, capsys, monkeypatch, in_process):
    monkeypatch.setattr(
        "flash.training.loop._accuracy", lambda *given: (_ for _ in ()).throw(MemoryError())
    )
    assert _calibrate(place) == 5
    assert "no training came to an end" in capsys.readouterr().err


def test_enough_networks_become_the_accuracy_model_of_the_space(place, capsys, learning):
    out = place / "new" / "calibrated.toml"
    assert _calibrate(place, "--samples", 8, "--held-out", 3, "--out", out, "--images", 30) == 0
    text = capsys.readouterr().out
    assert "11 networks (11 now), 3 of them held out" in text and "of 3 in their interval" in text
    model = accuracy_of(load_space(str(out)))
    rows = read_results(place / "trained.csv")
    fitted = [row.validation_accuracy for row in rows if row.split == "fit"]
    assert sorted(model.samples.accuracy) == sorted(fitted) and len(fitted) == 8
    assert model.provenance.recipe.startswith(
        "quick/epochs=1/images=30 (30 images, 10% of them for validation; epochs: 1 at 1 "
    )
    space = load_space(str(out))
    macs = [space.network(space.design(space.family.parse(r.design))).macs for r in rows[:8]]
    sizes = f"each of {format_count(min(macs))} to {format_count(max(macs))} MACs"
    assert model.provenance.data == f"colours (27 training, 3 validation images), {sizes}"
    assert out.read_text().startswith((place / "tiny.toml").read_text().rstrip("\n"))


def test_images_of_other_classes_make_the_space_for_theirs(place, capsys, learning):
    tiny, out = place / "tiny.toml", place / "mine.toml"
    tiny.write_text(tiny.read_text().replace("classes = 3", "classes = 10"))
    assert _calibrate(place, "--samples", 8, "--out", out) == 0
    assert (
        f"has 3 classes, tiny is for 10: {out} is the same space for 3" in capsys.readouterr().err
    )
    ours, theirs = load_space(str(tiny)), load_space(str(out))
    assert (theirs.name, theirs.family.classes) == ("mine", 3)
    assert theirs.size == ours.size and theirs.family.shape == ours.family.shape
    assert accuracy_of(theirs).task.classes == 3 and ours.family.classes == 10
    assert _calibrate(place, "--samples", 8, "--out", out) == 0  # and goes on from there
    assert "(0 now)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--space", "nowhere"), 2, "unknown space 'nowhere'"),
        (("--data", "missing"), 4, "no such file or folder: missing"),
        (("--recipe", "gpus"), 2, "unknown recipe 'gpus' (did you mean 'gpu'?)"),
        (("--max-macs", "20"), 2, "--max-macs 20: expected a number with k, M or G"),
        (("--designs", "missing.txt"), 4, "no such file: missing.txt"),
        (("--max-macs", "1k"), 3, "of at most 1000 MACs"),
        (("--samples", "many"), 2, "--samples many: expected a whole number"),
        (("--samples", 0, "--held-out", 0), 2, "nothing to train"),
        (("--workers", 0), 2, "--workers 0: expected a whole number from 1"),
        (("--epochs", "0"), 2, "--epochs 0: expected a whole number from 1"),
        (("--results", "/dev/null/x.csv"), 2, "/dev/null"),
    ],
)
def test_wrong_arguments_are_one_line(place, capsys, arguments, code, message):
    assert _calibrate(place, *arguments) == code
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
