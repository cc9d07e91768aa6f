"""NumPy files within bounds, and one convention of image sets for all who read them."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_sets import coloured, write_archive, write_folders

from flash.errors import InputError
from flash.export.calibration import load_images
from flash.files.arrays import read_arrays
from flash.files.image_sets import pixel_statistics, read_parts
from flash.proxies.images import read_images as read_for_proxies
from flash.spaces.family import InputShape
from flash.training.datasets import read_images as read_for_training


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.asfortranarray(np.eye(3, 5)),
        np.array(7), np.zeros((0, 3)), np.array(["a", "bc"]), np.arange(4, dtype=">i4"),
    ],
)  # fmt: skip
def test_arrays_are_read_as_numpy_reads_them(array, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", one=array, two=array)
    np.save(tmp_path / "a.npy", array)
    for found in (*read_arrays(tmp_path / "a.npz").values(), read_arrays(tmp_path / "a.npy")[""]):
        assert found.dtype == array.dtype and found.flags.writeable
        np.testing.assert_array_equal(found, array)


def _npy(shape, content=b"", dtype="|u1"):
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


def _npz(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: _npz(p, {"a.npy": _npy((10**12,))}), "claims the shape"),
        (lambda p: _npz(p, {"a.npy": _npy((10**400,))}), "claims the shape"),
        (lambda p: _npz(p, {"a.npy": _npy((-5,))}), "plain arrays"),
        (lambda p: _npz(p, {"a.npy": _npy((9,), b"12345")}), "claims the shape"),
        (lambda p: _npz(p, {"a.npy": b"\x93NUMPY\x09\x00junk"}), "of version"),
        (lambda p: _npz(p, {f"{k}.npy": b"" for k in range(10_001)}), "more than 10000 arrays"),
        (lambda p: p.write_bytes(_npy((10**9,))) and p, "claims the shape"),
        (lambda p: p.write_bytes(b"PK\x03\x04 nothing") and p, "plain arrays"),
        (lambda p: p.write_bytes(b"") or p, "plain arrays"),
    ],
)
def test_files_that_lie_about_their_size_are_refused_in_little_memory(make, says, tmp_path):
    path = make(tmp_path / "a.npz")
    tracemalloc.start()
    with pytest.raises(InputError, match=says):
        read_arrays(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("flash.files.arrays.UNPACKED_BYTES", 10**7)
    _npz(tmp_path / "a.npz", {"a.npy": _npy((2 * 10**7,), bytes(2 * 10**7))})
    with pytest.raises(InputError, match="MiB unpacked, the most read"):
        read_arrays(tmp_path / "a.npz")


@given(st.data())
def test_a_damaged_archive_is_read_or_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    np.savez(path, a=np.arange(10), b=np.eye(3))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        read_arrays(path)
    except InputError as error:
        assert str(error).isprintable()


# --------------------------------------------------------------------------- one convention
@pytest.mark.parametrize("form", ["x_train", "images", "folder of archives", "class folders"])
def test_training_proxies_and_int8_read_the_same_images(form, tmp_path):
    place = tmp_path / "set"
    place.mkdir()
    pixels, labels = coloured(40)
    if form == "x_train":
        place = write_archive(place)
    elif form == "images":
        place = place / "a.npz"
        np.savez(place, images=pixels, labels=labels)
    elif form == "folder of archives":
        for name in ("train", "test"):
            np.savez(place / f"{name}.npz", images=pixels, labels=labels)
    else:
        pytest.importorskip("PIL")
        write_folders(place, size=8)
    train, test = read_parts(place, (3, 8, 8), [])
    proxies = read_for_proxies(place)
    np.testing.assert_array_equal(proxies.array, train.images)
    np.testing.assert_array_equal(proxies.labels, train.labels)
    if test is not None:
        whole = read_for_training(place, InputShape(3, 8, 8), 3)
        np.testing.assert_array_equal(whole.train_images, train.images)
        np.testing.assert_array_equal(whole.test_labels, test.labels)
    int8 = load_images(place, (3, 8, 8))
    assert "normalised" in int8.source and int8.pixels.shape[1:] == (3, 8, 8)
    mean, spread = pixel_statistics(train.images)
    back = int8.pixels.transpose(0, 2, 3, 1) * spread + mean
    known = {image.tobytes() for image in train.images}
    assert all(image.tobytes() in known for image in np.rint(back).astype(np.uint8))
