"""Calibration from networks that others trained: designs or ONNX files with accuracies."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from calibrated import made_up, space_file

from flash.accuracy import accuracy_of, sample_designs, space_rivals
from flash.accuracy.fit import Rival
from flash.accuracy.monotone import FlashForm
from flash.calibrate import calibrate_from_table
from flash.calibrate.command import main
from flash.command import run_command
from flash.report.brief import render_brief
from flash.search import search
from flash.spaces.space import load_space

SPACE = "cifar10-concat"


@pytest.fixture(scope="module")
def thirty(tmp_path_factory):
    """A folder with the default space, not calibrated, and ``table.csv`` of 30 designs."""
    folder = tmp_path_factory.mktemp("thirty")
    space = load_space(str(space_file(folder)))
    designs = sample_designs(space, 30, 0)
    write_table(folder, [space.describe(x) for x in designs], made_up(space, designs))
    return folder


@pytest.fixture
def place(thirty, tmp_path):
    """A copy of it."""
    return shutil.copytree(thirty, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def one_model(monkeypatch):
    """Of all models FLASH's form alone is fitted, for tests of what is read and told."""

    def form(samples, blocks, *_):
        return [Rival.of(FlashForm(samples, blocks[0][0]), samples)]

    monkeypatch.setattr("flash.accuracy.calibration.rivals", form)


def write_table(place, names, accuracies, column="design", **more):
    with (place / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column, "accuracy", *more])
        for k, (name, accuracy) in enumerate(zip(names, accuracies, strict=True)):
            writer.writerow([name, accuracy, *(values[k] for values in more.values())])


def command(place, *arguments):
    words = ["--space", place / f"{SPACE}.toml", "--trained", place / "table.csv"]
    words += ["--out", place / "out.toml", *arguments]
    return run_command(main, [str(word) for word in words])


def test_a_model_that_ranks_backwards_says_so(place):
    found = accuracy_of(load_space(SPACE))
    backwards = dataclasses.replace(found.provenance, loo_spearman=-0.4)
    assert not found.why_worthless
    told = dataclasses.replace(found, provenance=backwards).why_worthless
    assert "in no order (Spearman -0.40)" in told


def rows(place):
    with (place / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_that_a_calibration_replaces_is_told_of(place, capsys):
    told = f"written: {place / 'out.toml'}, in place of the file that was there"
    assert command(place) == 0
    assert told not in capsys.readouterr().err
    assert command(place, "--json", "-") == 0
    assert told in capsys.readouterr().err
    assert command(place, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_a_table_of_designs_calibrates_a_space_without_images(place, capsys):
    assert command(place) == 0
    assert "30 networks with an accuracy" in capsys.readouterr().out
    space = load_space(str(place / "out.toml"))
    model = accuracy_of(space)
    assert model.provenance.networks == 30 and model.provenance.epochs == 0
    fresh = sample_designs(space, 40, seed=99)
    errors = model.predict(space, fresh).value - made_up(space, fresh, noise=0.0)
    assert np.sqrt(np.mean(errors**2)) < 0.8
    assert "the data of table.csv" in model.statement


def test_a_model_that_knows_less_than_the_mean_says_so(place, capsys):
    table, random = rows(place), np.random.default_rng(0)
    write_table(place, [row["design"] for row in table], 70 + 5 * random.random(30))
    assert command(place) == 0
    told = capsys.readouterr().out
    assert "careful   networks left out one by one are predicted" in told
    assert "this model cannot rank designs" in told
    found = search("rpi4b", str(place / "out.toml"))
    (note,) = (note for note in found.notes if note.startswith("careful with the accuracies"))
    assert "this model cannot rank designs" in note
    assert note in " ".join(render_brief(found).split())
    write_table(place, [row["design"] for row in table], [row["accuracy"] for row in table])
    assert command(place) == 0
    assert "careful" not in capsys.readouterr().out


def test_a_model_that_no_search_can_follow_says_so(place):
    found = calibrate_from_table(SPACE, place / "table.csv", out=place / "out.toml")
    assert not found.model.careful_lines
    kriging = next(
        rival.model
        for rival in space_rivals(load_space(SPACE), *_designs(place))[1]
        if rival.model.kind == "kriging"
    )
    (line,) = dataclasses.replace(found.model, regression=kriging).careful_lines
    assert "no optimizer can follow kriging" in line


def _designs(place):
    space, table = load_space(SPACE), rows(place)
    indices = np.array([space.parse(row["design"]) for row in table])
    return indices, np.array([float(row["accuracy"]) for row in table])


@pytest.mark.usefixtures("one_model")
def test_designs_listed_twice_are_counted(place, capsys):
    table = rows(place)
    names = [row["design"] for row in [*table, *table[:2]]]
    write_table(place, names, [row["accuracy"] for row in [*table, *table[:2]]])
    assert command(place) == 0
    assert (
        "0 of them held out, 2 of a design listed before (its mean counts);"
        in capsys.readouterr().out
    )


@pytest.mark.usefixtures("one_model")
def test_a_design_listed_with_accuracies_far_apart_is_named(place, capsys):
    table = rows(place)
    again = [(table[0]["design"], float(table[0]["accuracy"]) - 40), (table[1]["design"], None)]
    names = [row["design"] for row in table] + [name for name, _ in again]
    values = [float(row["accuracy"]) for row in table]
    values += [again[0][1], values[1] + 1.9]  # the second is what another seed gives
    write_table(place, names, values)
    assert command(place) == 0
    told = [x for x in capsys.readouterr().out.splitlines() if "is in lines" in x]
    assert told == [
        f"careful   {names[0]} is in lines 2, 32 with {values[0]:.2f} and {values[0] - 40:.2f} %, "
        "40.00 points apart: is one a slip?"
    ]


@pytest.mark.usefixtures("one_model")
def test_searches_say_in_a_sentence_whose_training_it_was(place, capsys):
    from flash.search.command import main as search  # noqa: PLC0415

    assert command(place) == 0
    assert "by the table's author, hardware not stated, " in capsys.readouterr().out
    words = ["--space", place / "out.toml", "--target", "rpi3b", "--out", place / "s"]
    assert run_command(search, [str(word) for word in words]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "accuracy is that of networks trained by the table's author" in printed


@pytest.mark.usefixtures("one_model")
def test_fractions_are_read_as_such_and_failed_trainings_left_out(place, capsys):
    table = rows(place)
    accuracies = [float(row["accuracy"]) / 100 for row in table]
    accuracies[3], accuracies[7] = "", "nan"
    write_table(place, [row["design"] for row in table], accuracies)
    assert command(place, "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["rows"]) == 28
    assert [one["design"] for one in document["failed"]] == [table[k]["design"] for k in (3, 7)]
    assert min(row["accuracy"] for row in document["rows"]) > 50
    found = calibrate_from_table(
        str(place / f"{SPACE}.toml"), place / "table.csv", out=place / "again.toml"
    )
    assert "fractions read as such" in str(found) and "2 more without one" in str(found)


def test_held_out_rows_judge_the_fit_and_are_not_fitted(place, capsys):
    table = rows(place)
    splits = ["held_out" if k % 3 == 0 else "fit" for k in range(30)]
    values = [float(row["accuracy"]) for row in table]
    write_table(place, [row["design"] for row in table], values, split=splits, recipe=["mine"] * 30)
    assert command(place, "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"]["networks"] == 20 and document["model"]["recipe"] == "mine"
    assert document["held_out"]["networks"] == 10 and document["held_out"]["rmse"] < 1.5


@pytest.mark.usefixtures("one_model")
def test_designs_beyond_the_spaces_values_teach_too(place, capsys):
    table = rows(place)
    names = [row["design"] for row in table]
    names[0] = "w=7,18,30 d=3,4,5 t=0,1,2"
    write_table(place, names, [float(row["accuracy"]) for row in table])
    assert command(place) == 0
    assert "outside   1 of the 30 designs" in capsys.readouterr().out
    model = accuracy_of(load_space(str(place / "out.toml")))
    assert model.box.ranges["w1"][0] == 7 and model.provenance.networks == 30


@pytest.mark.usefixtures("one_model")
def test_designs_outside_the_space_are_counted_and_named(place, capsys):
    table = rows(place)
    names, values = [row["design"] for row in table], [row["accuracy"] for row in table]
    write_table(place, names, values)
    assert command(place) == 0 and "\noutside" not in capsys.readouterr().out
    names[4], names[9] = "w=9,18,30 d=3,4,5 t=0,1,2", "w=8,16,32 d=3,3,77 t=0,0,0"
    write_table(place, names, values)
    assert command(place) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("outside")]
    assert "2 of the 30 designs" in line
    assert "line 6 (w1=9" in line and "line 11 (d3=77)" in line
    assert "w1=9 is not in space cifar10-concat; w1 is one of 8, 12," in line
    assert command(place, "--json", "-") == 0
    first, second = json.loads(capsys.readouterr().out)["outside"]
    assert (first["line"], first["design"], first["values"]["w1"]) == (6, names[4], 9)
    assert (second["line"], second["values"]) == (11, {"d3": 77})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('"w=8,16,32 d=3,3,3 t=0,0,0",0.68', "line 32: 0.68 beside"),
        ('"w=8,16,32 d=3,3,3 t=0,0,0",108', "line 32: expected an accuracy from 0 to 100"),
        ('"w=8,16,32 d=3,3",60', "line 32: "),
        ('"w=8,16,32 d=3,3,3 t=0,0,0",good', "line 32: the accuracy 'good' is no number"),
    ],
)
def test_a_wrong_row_is_one_line_with_its_number(place, capsys, row, message):
    with (place / "table.csv").open("a") as file:
        file.write(f"{row}\n")
    assert command(place) == 4
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (place / "out.toml").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv: empty"),
        ("\n \n", "table.csv: empty"),
        ("arch,top1\nx,70\n", "expected the columns accuracy, and design or onnx; got 'arch,top1'"),
        ("design;accuracy\nx;70,5\n", "separate columns by commas, decimals by points"),
        ("design\taccuracy\nx\t70.5\n", "separate columns by commas, decimals by points"),
        ("design,onnx,accuracy\nx,y,70\n", "got 'design,onnx,accuracy'"),
    ],
)
def test_other_columns_are_quoted_and_other_separators_named(place, capsys, text, message):
    (place / "table.csv").write_text(text)
    assert command(place) == 4
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert ("separate columns" in error) == (message.startswith("separate"))


@pytest.mark.usefixtures("one_model")
def test_per_cents_may_be_written_as_such(place, capsys):
    table = rows(place)
    names, values = ([row[column] for row in table] for column in ("design", "accuracy"))
    assert command(place) == 0
    plain = capsys.readouterr().out
    write_table(place, names, [f"{value}%" for value in values])
    text = (place / "table.csv").read_text()
    (place / "table.csv").write_text("\ufeff" + text.replace("design,accuracy", "design, accuracy"))
    assert command(place) == 0
    assert capsys.readouterr().out == plain
    write_table(place, names, [f"{float(value) / 100} %" for value in values])
    assert command(place) == 4
    assert "fractions" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--data", "images"), 2, "--data is for trainings; leave it out with --trained"),
        (("--recipe", "long"), 2, "--recipe is for trainings"),
        (("--held-out", "3"), 2, "--held-out is for trainings"),
    ],
)
def test_options_of_trainings_are_refused_with_a_table(place, capsys, arguments, code, message):
    assert command(place, *arguments) == code
    assert message in capsys.readouterr().err


def test_a_table_of_networks_that_learned_nothing_is_refused(place, capsys):
    write_table(place, [row["design"] for row in rows(place)], [10.0] * 30)
    assert command(place) == 4
    assert "0 of 30 trained networks learned something" in capsys.readouterr().err


def test_onnx_files_calibrate_a_space(place, capsys):
    pytest.importorskip("onnx")
    from flash.backends import network_model, random_weights  # noqa: PLC0415

    space = load_space(str(place / f"{SPACE}.toml"))
    designs = sample_designs(space, 12, 1, max_macs=2e7)
    names = []
    for k, design in enumerate(designs):
        network = space.network(design)
        model = network_model(network, random_weights(network, 0))
        (place / f"net{k}.onnx").write_bytes(model.SerializeToString())
        names.append(f"net{k}.onnx")
    truth = made_up(space, designs)
    split = ["fit"] * 10 + ["held_out"] * 2
    write_table(place, names, truth, column="onnx", split=split)
    assert command(place) == 0
    assert "10 networks" in capsys.readouterr().out
    calibrated = load_space(str(place / "out.toml"))
    model = accuracy_of(calibrated)
    errors = model.predict(calibrated, designs).value - truth
    assert np.sqrt(np.mean(errors**2)) < 3
    # A network of another task says nothing of this one.
    text = (place / f"{SPACE}.toml").read_text().replace("\nclasses = 10", "\nclasses = 12")
    (place / f"{SPACE}.toml").write_text(text)
    assert command(place) == 4
    assert "net0.onnx tells 10 classes apart, the space 12" in capsys.readouterr().err
