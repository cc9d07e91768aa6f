"""Image sets of every form are read alike, and what cannot be used is said in one line."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra train")

from image_sets import coloured, write_archive, write_folders  # noqa: E402
from PIL import Image  # noqa: E402

from flash.errors import InputError  # noqa: E402
from flash.spaces.family import InputShape  # noqa: E402
from flash.training.datasets import read_images  # noqa: E402
from flash.training.images import ImageSet  # noqa: E402

SHAPE = InputShape(3, 8, 8)


def _write(folder, **arrays):
    np.savez(folder / "x.npz", **arrays)
    return folder / "x.npz"


def _parts(**changes):
    (x_train, y_train), (x_test, y_test) = coloured(12), coloured(6, 1)
    return {
        "x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test, **changes,
    }  # fmt: skip


def test_an_archive_comes_back_as_it_is(tmp_path):
    found = read_images(write_archive(tmp_path), SHAPE, 3)
    pixels, labels = coloured(60, 1)
    assert (found.test_images == pixels).all() and (found.test_labels == labels).all()
    assert len(found.train_labels) == 120 and found.name == "colours" and not found.notes


def test_channels_first_and_grey_images_are_understood(tmp_path):
    parts = _parts()
    first = _write(tmp_path, **(parts | {"x_train": parts["x_train"].transpose(0, 3, 1, 2)}))
    assert (read_images(first, SHAPE, 3).train_images == parts["x_train"]).all()
    grey = {name: array[..., 0] for name, array in parts.items() if name.startswith("x_")}
    found = read_images(_write(tmp_path, **(parts | grey)), SHAPE, 3)
    assert (found.train_images == grey["x_train"][..., None]).all()


def test_packed_images_are_unpacked(tmp_path):
    pixels, labels = coloured(9)
    for name in ("train", "test"):
        content = []
        for image in pixels:
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "png")
            content.append(stream.getvalue())
        np.savez(
            tmp_path / f"{name}.npz",
            jpeg=np.frombuffer(b"".join(content), np.uint8),
            offset=np.cumsum([0, *map(len, content)]),
            label=labels.astype(np.uint8),
            classes=np.array(["red", "green", "blue"]),
        )
    found = read_images(tmp_path, SHAPE, 3)
    assert (found.train_images == pixels).all() and found.classes == ("red", "green", "blue")


def test_class_folders_are_resized_and_split_the_same_way_each_time(tmp_path):
    found = read_images(write_folders(tmp_path / "set"), SHAPE, 3)
    assert found.train_images.shape == (24, 8, 8, 3) and found.classes == ("blue", "green", "red")
    assert np.bincount(found.test_labels).tolist() == [2, 2, 2]
    red = found.train_images[found.train_labels == 2].mean((0, 1, 2))
    assert red[0] > red[1] + 20 and red[0] > red[2] + 20
    assert read_images(tmp_path / "set", SHAPE, 3).digest == found.digest


def test_folders_with_a_split_keep_it(tmp_path):
    write_folders(tmp_path / "train", 12)
    write_folders(tmp_path / "val", 6)
    found = read_images(tmp_path, SHAPE, 3)
    assert (len(found.train_labels), len(found.test_labels)) == (12, 6)


def test_a_corrupt_image_is_named_and_left_out(tmp_path):
    write_folders(tmp_path)
    bad = sorted((tmp_path / "green").iterdir())[1]
    bad.write_bytes(bad.read_bytes()[:40])
    found = read_images(tmp_path, SHAPE, 3)
    assert found.notes == (f"{bad}: no image that can be read; left out",)
    assert len(found.train_labels) + len(found.test_labels) == 29


@pytest.mark.parametrize(
    ("changes", "classes", "message"),
    [
        ({"x_train": np.zeros((12, 8, 8, 3))}, 3, "x_train must be bytes .uint8.*float64"),
        ({"x_train": np.zeros((12, 8), np.uint8)}, 3, "x_train must have shape"),
        ({"y_train": np.zeros(11, int)}, 3, "y_train must be 12 whole numbers.*got 11"),
        ({"y_train": np.zeros(12)}, 3, "y_train must be 12 whole numbers.*float64"),
        ({"y_train": np.arange(12) % 3 - 1}, 3, "has 3 classes|labels must lie in"),
        ({"y_train": np.arange(12) % 2}, 3, "no training image of class 2"),
        ({}, 10, "has 3 classes, the space is for 10: use a space file with classes = 3"),
    ],
)
def test_wrong_arrays_are_told(tmp_path, changes, classes, message):
    with pytest.raises(InputError, match=message):
        read_images(_write(tmp_path, **_parts(**changes)), SHAPE, classes)


def test_where_no_number_of_classes_is_asked_it_is_that_of_the_images(tmp_path):
    assert len(read_images(write_archive(tmp_path), SHAPE, None).classes) == 3
    alone = {"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)}
    with pytest.raises(InputError, match="has one class only: a folder a class is expected"):
        read_images(_write(tmp_path, **_parts(**alone)), SHAPE, None)


def test_missing_arrays_pickles_and_damaged_files_are_told(tmp_path):
    with pytest.raises(InputError, match=r"lacks the array x_test, y_test; .*it has x_train, y_tr"):
        read_images(
            _write(tmp_path, x_train=_parts()["x_train"], y_train=np.arange(12) % 3), SHAPE, 3
        )
    pickled = _write(tmp_path, **_parts(y_train=np.array([None] * 12, dtype=object)))
    with pytest.raises(InputError, match="holds Python objects, which are not read"):
        read_images(pickled, SHAPE, 3)
    (tmp_path / "cut.npz").write_bytes(write_archive(tmp_path).read_bytes()[:500])
    with pytest.raises(InputError, match="no .npy or .npz file of plain arrays, or a damaged one"):
        read_images(tmp_path / "cut.npz", SHAPE, 3)


def test_places_without_images_are_told(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_images(tmp_path / "none", SHAPE, 3)
    with pytest.raises(InputError, match="has no class folders"):
        read_images(tmp_path, SHAPE, 3)
    write_folders(tmp_path)
    (tmp_path / "white").mkdir()
    with pytest.raises(InputError, match="white: has no images"):
        read_images(tmp_path, SHAPE, 4)
    (tmp_path / "white" / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="no training image of class white"):
        read_images(tmp_path, SHAPE, 4)
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="has a folder 'train' but none of val"):
        read_images(tmp_path, SHAPE, 4)


def test_a_subset_is_balanced_and_always_the_same(tmp_path):
    whole = read_images(write_archive(tmp_path), SHAPE, 3)
    part = whole.subset(31)
    assert sorted(np.bincount(part.train_labels)) == [10, 10, 11]
    assert part.digest == whole.subset(31).digest != whole.digest
    assert whole.subset(None) is whole and whole.subset(1000) is whole


def test_a_saved_set_is_loaded_whole(tmp_path):
    whole = read_images(write_archive(tmp_path), SHAPE, 3)
    with (tmp_path / "saved.npz").open("wb") as file:
        whole.save(file)
    assert type(whole).load(tmp_path / "saved.npz").digest == whole.digest


def test_validation_images_are_a_part_of_every_class_and_the_same_every_time():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    images = np.zeros((100, 2, 2, 3), np.uint8)
    whole = ImageSet("x", images, labels, images[:1], labels[:1], ("a", "b", "c"))
    training, aside = whole.split(0.2)
    assert sorted([*training, *aside]) == list(range(100))
    assert np.bincount(labels[aside]).tolist() == [12, 6, 2]
    for first, second in zip(whole.split(0.2), (training, aside), strict=True):
        np.testing.assert_array_equal(first, second)
    with pytest.raises(InputError, match="x: 1 training images are too few"):
        whole.taken(np.array([3])).split(0.1)


def test_pixel_statistics_are_those_of_numpy(tmp_path):
    whole = read_images(write_archive(tmp_path), SHAPE, 3)
    mean, deviation = whole.pixel_statistics()
    assert np.allclose(mean, whole.train_images.mean((0, 1, 2)))
    assert np.allclose(deviation, whole.train_images.std((0, 1, 2)))
