"""Training: repeatable to the bit, cut and continued, and honest about what goes wrong."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from image_sets import coloured, write_space  # noqa: E402

from flash.backends.torch.module import torch_network  # noqa: E402
from flash.errors import FlashError, InputError, UsageError  # noqa: E402
from flash.spaces.space import load_space  # noqa: E402
from flash.training import batches as batching  # noqa: E402
from flash.training import loop as training  # noqa: E402
from flash.training import precision  # noqa: E402
from flash.training.checkpoint import write_checkpoint  # noqa: E402
from flash.training.images import ImageSet  # noqa: E402
from flash.training.recipe import RECIPES, recipe_named  # noqa: E402
from flash.training.results import TrainedDesign, append_result, read_results  # noqa: E402
from flash.training.validation_size import (  # noqa: E402
    resolution_points,
    standard_error_points,
    suggest_split,
)
from flash.training.worker import perform  # noqa: E402

RECIPE = replace(RECIPES["quick"], stages=((2, 0.5), (2, 1.0)), batch=20, peak_rate=0.1)


@pytest.fixture(scope="module")
def images():
    return ImageSet("colours", *coloured(267), *coloured(120, 1), classes=("r", "g", "b"))


@pytest.fixture
def network(tmp_path):
    space = load_space(str(write_space(tmp_path)))
    return space.network(space.design(space.family.parse("w=8,12 d=3,4 t=4,8")))


class _Killed(Exception):
    pass


def _cut(after_epochs):
    """Progress that raises in the middle of the epoch after so many."""
    seen = []

    def progress(share):
        seen.append(share)
        if len(seen) > 2 * after_epochs:  # 12 steps an epoch are told of twice
            raise _Killed

    return progress


def test_a_training_learns_and_repeats_to_the_bit(network, images):
    first, again, other = (training.train(network, images, RECIPE, seed) for seed in (0, 0, 1))
    assert first.test_accuracy > 60  # chance is 33
    assert again.test_accuracy == first.test_accuracy and other != first
    assert first.epochs == 4 and first.seconds > 0 and "1 thread" in first.hardware
    assert len(first.curve) == 4 and first.curve[-1] == first.validation_accuracy > 50


def test_a_training_that_was_cut_ends_as_one_that_was_not(network, images, tmp_path, monkeypatch):
    final = {}
    save = training._save

    def spied(state, path, label):
        save(state, path, label)
        final[path.name] = {k: v.clone() for k, v in state.module.state_dict().items()}

    monkeypatch.setattr(training, "_save", spied)
    whole = training.train(network, images, RECIPE, 0, checkpoint=tmp_path / "whole.pt")
    cut = tmp_path / "cut.pt"
    for epochs in (1, 2):
        with pytest.raises(_Killed):
            training.train(network, images, RECIPE, 0, checkpoint=cut, progress=_cut(epochs))
    assert torch.load(cut, weights_only=True)["epoch"] == 3
    shares = []
    resumed = training.train(network, images, RECIPE, 0, checkpoint=cut, progress=shares.append)
    assert resumed.test_accuracy == whole.test_accuracy and resumed.curve == whole.curve
    assert all(torch.equal(final["whole.pt"][name], v) for name, v in final["cut.pt"].items())
    assert shares == sorted(shares) and shares[0] > 0.6 and shares[-1] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"whole.pt", "cut.pt", "tiny.toml"}


@pytest.mark.parametrize("damage", ["other seed", "cut file", "no checkpoint"])
def test_what_is_no_checkpoint_of_this_training_is_left_aside(network, images, tmp_path, damage):
    place = tmp_path / "x.pt"
    if damage == "other seed":
        training.train(network, images, RECIPE, 1, checkpoint=place)
    elif damage == "cut file":
        training.train(network, images, RECIPE, 0, checkpoint=place)
        place.write_bytes(place.read_bytes()[:200])
    else:
        torch.save([1, 2], place)
    plain = training.train(network, images, RECIPE, 0)
    assert training.train(network, images, RECIPE, 0, checkpoint=place).test_accuracy == (
        plain.test_accuracy
    )


def test_validation_images_are_trained_on_by_none_and_test_images_change_nothing(network, images):
    training_at, aside = images.split(RECIPE.validation)
    batches = batching.Batches(images, RECIPE, torch.device("cpu"))
    assert len(aside) == 27 and batches.images == 240
    np.testing.assert_array_equal(batches.validation(1.0).pixels, images.train_images[aside])
    np.testing.assert_array_equal(
        batches._at(1.0)["training"].pixels, images.train_images[training_at]
    )
    wrong = replace(images, test_labels=(images.test_labels + 1) % 3)
    first, other = (training.train(network, given, RECIPE, 0) for given in (images, wrong))
    assert first.curve == other.curve and first.test_accuracy > other.test_accuracy


class _Unreadable:
    """Test labels that nobody may look at."""

    def __getattr__(self, name):
        raise AssertionError("a test label was read")

    def __array__(self, *given, **named):
        raise AssertionError("a test label was read")

    def __len__(self):
        raise AssertionError("a test label was read")


def test_no_test_label_is_read_before_the_final_report(network, images, monkeypatch):
    whole = training.train(network, images, RECIPE, 0)
    hidden = replace(images, test_labels=_Unreadable(), test_images=_Unreadable())
    hidden.__dict__["digest"] = images.digest
    epochs = []
    of_part = training._accuracy

    def seen(module, part, batches):
        epochs.append(of_part(module, part, batches))
        return epochs[-1]

    monkeypatch.setattr(training, "_accuracy", seen)
    # Every epoch and every early look passes; only the report at the end asks for them.
    with pytest.raises((AssertionError, TypeError)):
        training.train(network, hidden, RECIPE, 0)
    assert tuple(epochs) == whole.curve and len(epochs) == RECIPE.epochs


def test_every_image_is_mirrored_in_every_second_epoch(network, images, monkeypatch):
    seen = []
    changed = batching.Batches.changed

    def spied(self, at, rng, share, mirrored):
        seen.append(dict(zip(at.tolist(), mirrored.tolist(), strict=True)))
        return changed(self, at, rng, share, mirrored)

    monkeypatch.setattr(batching.Batches, "changed", spied)
    training.train(network, images, RECIPE, 0)
    epochs = [
        {image: flag for step in seen[k : k + 12] for image, flag in step.items()}
        for k in range(0, 48, 12)
    ]
    assert epochs[0] == epochs[2] and epochs[1] == epochs[3]
    assert all(epochs[1][image] is not flag for image, flag in epochs[0].items())
    assert 80 < sum(epochs[0].values()) < 160


def test_a_batch_is_of_the_reduced_images_shifted_and_mirrored(images):
    batches = batching.Batches(images, replace(RECIPE, shift=0.0), torch.device("cpu"))
    rng, at = np.random.default_rng(0), np.arange(6)
    plain, labels = batches.changed(at, rng, 0.5, np.zeros(6, bool))
    mirrored, _ = batches.changed(at, rng, 0.5, np.ones(6, bool))
    assert plain.shape == (6, 3, 4, 4) and torch.equal(plain.flip(3), mirrored)
    chosen = images.train_images[images.split(0.1)[0][:6]]
    np.testing.assert_array_equal(labels, images.train_labels[images.split(0.1)[0][:6]])
    pixels = torch.from_numpy(chosen).permute(0, 3, 1, 2).float()
    reduced = torch.nn.functional.interpolate(pixels, (4, 4), mode="bilinear", antialias=True)
    expected = batches.normal(reduced.round().permute(0, 2, 3, 1))
    torch.testing.assert_close(plain, expected)


def test_images_are_resized_once_a_side(network, images, monkeypatch):
    shares = []
    resized = batching._resized
    monkeypatch.setattr(
        batching, "_resized", lambda pixels, share: shares.append(share) or resized(pixels, share)
    )
    training.train(network, images, RECIPE, 0)
    assert shares == [0.5, 0.5, 1.0, 1.0]  # training and validation images


@pytest.mark.parametrize(("flags", "ending"), [("avx2", "fp32"), ("avx2 avx512_bf16", "bf16")])
def test_bf16_is_for_processors_that_have_it_and_the_result_says_so(
    network, images, monkeypatch, flags, ending
):
    monkeypatch.setattr(precision, "processor", lambda: {"model name": "P", "flags": flags})
    seen = []
    monkeypatch.setattr(
        training, "_epoch", lambda state, *rest: seen.append(torch.is_autocast_enabled("cpu"))
    )
    trained = training.train(network, images, replace(RECIPE, stages=((1, 1.0),)), 0)
    assert trained.hardware == f"P, 1 thread, {ending}"
    with precision.autocast(torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu") is (ending == "bf16")


def test_networks_with_grouped_convolutions_train_in_fp32_on_cpus(images, monkeypatch):
    monkeypatch.setattr(precision, "processor", lambda: {"model name": "P", "flags": "avx512_bf16"})
    space = load_space("cifar10-mobilenet-v2")
    module = torch_network(space.network(np.zeros(len(space.variables), dtype=np.int64)).live())
    plain = torch_network(load_space("cifar10-add").network(np.zeros(9, dtype=np.int64)).live())
    cpu = torch.device("cpu")
    assert (precision.halves(module, cpu), precision.halves(plain, cpu)) == (False, True)
    assert precision.halves(module, torch.device("cuda"))
    with precision.autocast(cpu, half=False):
        assert not torch.is_autocast_enabled("cpu")


def test_a_loss_that_is_no_number_is_told(network, images):
    wild = replace(RECIPE, peak_rate=1e30)
    assert perform(network, images, wild, 0) == {"failed": "the loss is no number in epoch 1"}


def test_scores_that_are_no_numbers_are_told(network, images, monkeypatch):
    epoch = training._epoch

    def poisoned(state, *rest):
        epoch(state, *rest)
        next(iter(state.module.buffers())).fill_(float("nan"))  # of a batch norm

    monkeypatch.setattr(training, "_epoch", poisoned)
    told = perform(network, images, replace(RECIPE, stages=((1, 1.0),)), 0)
    assert told == {"failed": "the trained network's scores are no numbers"}


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    network, images, tmp_path, monkeypatch
):
    def full(content, file):
        file.write(b"begun")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    (tmp_path / "work").mkdir()
    told = perform(network, images, RECIPE, 0, tmp_path / "work" / "x.pt")
    assert told == {"failed": "its checkpoint cannot be written: No space left on device"}
    assert not list((tmp_path / "work").iterdir())


def test_a_recipe_without_its_hardware_is_told(network, images, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="needs a CUDA device"):
        training.train(network, images, RECIPES["gpu"])


# --------------------------------------------------------------------------------- recipes
def test_learning_rate_goes_up_to_its_peak_and_down_to_nothing():
    rates = [training._rate(RECIPE, share) for share in np.linspace(0, 1, 41)]
    top = rates.index(max(rates))
    assert rates[top] == RECIPE.peak_rate and top == 10
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert rates[0] == rates[-1] == 0


def test_shifted_rows_are_whole_images_mirrored_at_the_edge():
    at = batching._moved(np.random.default_rng(0), 500, 8, 0.25)
    assert at.shape == (500, 8) and at.min() == 0 and at.max() == 7
    assert {tuple(row) for row in at.tolist()} == {
        (2, 1, 0, 1, 2, 3, 4, 5), (1, 0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 6, 7),
        (1, 2, 3, 4, 5, 6, 7, 6), (2, 3, 4, 5, 6, 7, 6, 5),
    }  # fmt: skip


def test_shifts_are_of_a_pixel_at_side_16_and_of_two_at_32():
    shift = recipe_named("quick").shift
    for side, most in ((16, 1), (24, 2), (32, 2)):
        at = batching._moved(np.random.default_rng(0), 200, side, shift)
        assert {int(row[8]) - 8 for row in at} == set(range(-most, most + 1))


@pytest.mark.parametrize(("name", "epochs"), [("quick", 10), ("long", 50)])
def test_most_epochs_are_of_small_images_and_the_last_of_whole_ones(name, epochs):
    recipe = recipe_named(name)
    assert recipe.epochs == epochs and recipe.images is None
    counts = [recipe.sides.count(share) / epochs for share in (0.5, 0.75, 1.0)]
    assert counts == [0.6, 0.2, 0.2] and recipe.sides == tuple(sorted(recipe.sides))
    assert "10% of them for validation" in recipe.describe()


def test_a_varied_recipe_says_so_and_ends_at_full_size():
    recipe = recipe_named("quick")
    assert recipe.varied() is recipe and recipe.varied(recipe.epochs, recipe.images) is recipe
    for epochs in range(1, 30):
        varied = recipe.varied(epochs)
        assert varied.epochs == epochs and varied.sides[-1] == 1
        assert varied.sides == tuple(sorted(varied.sides))
    assert recipe.varied(3, 500).name == "quick/epochs=3/images=500"
    with pytest.raises(UsageError, match="did you mean 'quick'"):
        recipe_named("quik")


# --------------------------------------------------------------------------------- results
def _row(design="w=4,4 d=3,3 t=0,0"):
    return TrainedDesign(
        "tiny", design, "colours", "fit", "quick", 0, 61.25, 4, 12.3, "a, b", 321, 98765, "0f",
        62.5, (40.25, 62.5),
    )  # fmt: skip


def test_rows_are_appended_and_read_back(tmp_path):
    table = tmp_path / "x.csv"
    assert read_results(table) == []
    for row in (_row(), _row("w=8,8 d=3,3 t=0,0")):
        append_result(table, row)
    assert read_results(table) == [_row(), _row("w=8,8 d=3,3 t=0,0")]
    assert table.read_text().count("space,design") == 1


def test_a_table_with_columns_of_its_own_keeps_them(tmp_path):
    table = tmp_path / "x.csv"
    append_result(table, _row())
    header, line = table.read_text().splitlines()
    table.write_text(f"note,{header}\nmine,{line}\n")
    append_result(table, _row("w=8,8 d=3,3 t=0,0"))
    assert read_results(table) == [_row(), _row("w=8,8 d=3,3 t=0,0")]
    assert table.read_text().splitlines()[2].startswith(",")


def test_a_table_of_an_older_version_is_read_and_gets_the_new_columns(tmp_path):
    table = tmp_path / "x.csv"
    header = "space,design,data,split,recipe,seed,test_accuracy,epochs,seconds,hardware"
    line = 'tiny,"w=4,4 d=3,3 t=0,0",colours,fit,cpu,0,61.25,4,12.3,"a, b"'
    table.write_text(f"{header},note\n{line},mine\n")
    (old,) = read_results(table)
    assert old.validation_accuracy is None and old.curve == () and old.macs is None
    append_result(table, _row())
    assert read_results(table) == [old, _row()]
    first, second, third = table.read_text().splitlines()
    assert first == f"{header},note,params,macs,digest,validation_accuracy,curve"
    assert second == f"{line},mine,,,,," and third.endswith('"a, b",,321,98765,0f,62.5,40.25 62.50')
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_a_full_disk_leaves_the_table_as_it_was(tmp_path, monkeypatch):
    table = tmp_path / "x.csv"
    append_result(table, _row())
    before = table.read_bytes()

    def full(handle, content):
        os.write(handle, content[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("flash.files.journal.write_all", full)
    with pytest.raises(FlashError, match="No space left"):
        append_result(table, _row("w=8,8 d=3,3 t=0,0"))
    assert table.read_bytes() == before


def test_a_row_cut_off_by_a_power_failure_is_written_anew(tmp_path):
    table = tmp_path / "x.csv"
    append_result(table, _row())
    with table.open("a") as file:
        file.write('tiny,"w=8,8')
    assert read_results(table) == [_row()]
    append_result(table, _row("w=8,8 d=3,3 t=0,0"))
    assert len(read_results(table)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("test_accuracy", "accuracy"), "lacks the column test_accuracy"),
        (("61.25", "high"), "line 2 is no result"),
        (("61.25", "161.25"), "line 2: expected a test_accuracy of 0 to 100"),
        (("62.5,", "-1,"), "line 2: expected a validation_accuracy of 0 to 100"),
        ((",fit,", ",fitted,"), "line 2: expected a split of fit, held_out, anchor, extra"),
    ],
)
def test_a_damaged_table_is_told_with_its_line(tmp_path, change, message):
    table = tmp_path / "x.csv"
    append_result(table, _row())
    table.write_text(table.read_text().replace(*change))
    with pytest.raises(InputError, match=message):
        read_results(table)


# ------------------------------------------------------------------------- validation images
def test_the_suggested_split_has_the_resolution_asked_for():
    for candidates, error in ((25, 5.6), (1, 1.0), (1000, 2.0)):
        images = suggest_split(candidates, error)
        assert resolution_points(images, candidates) <= error
        assert resolution_points(images - 1, candidates) > error
    # More candidates cost only a logarithm.
    assert suggest_split(1000, 2.0) < 1.6 * suggest_split(40, 2.0)


def test_measured_accuracies_are_within_the_resolution_as_often_as_it_says():
    rng = np.random.default_rng(0)
    images, candidates, truth = 400, 20, 0.7
    measured = rng.binomial(images, truth, (2000, candidates)) / images
    off = 100 * np.abs(measured - truth).max(axis=1)
    assert np.mean(off <= resolution_points(images, candidates)) >= 0.9
    assert 100 * measured.std() == pytest.approx(standard_error_points(images, 70.0), rel=0.02)


@pytest.mark.parametrize("given", [(0, 5.0), (5, 0.0), (5, -1.0), (5, float("nan"))])
def test_a_split_that_cannot_be_is_refused(given):
    with pytest.raises(UsageError):
        suggest_split(*given)


@pytest.mark.parametrize("kept", [0, 900, 5000])
def test_a_checkpoint_that_the_disk_does_not_take_is_the_disks_error(tmp_path, monkeypatch, kept):
    """PyTorch raises an error of its own over it, which nobody could mend."""
    left = [kept]

    class Full(io.BytesIO):
        def write(self, content):
            left[0] -= len(content)
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            return super().write(content)

    @contextlib.contextmanager
    def full_file(path):
        yield Full()

    monkeypatch.setattr("flash.training.checkpoint.whole_file", full_file)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path / "t.pt", "label", {"weights": torch.zeros(3000)})
