"""Damaged files of every reader: a value or one line (``scripts/fuzz.py``)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from flash.errors import InputError
from flash.files.arrays import read_arrays
from flash.files.labelled import read_labelled

pytest.importorskip("onnx")
PLACE = Path(__file__).resolve().parents[1] / "scripts" / "fuzz.py"


def _script():
    if "fuzz" not in sys.modules:
        spec = importlib.util.spec_from_file_location("fuzz", PLACE)
        sys.modules["fuzz"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["fuzz"])
    return sys.modules["fuzz"]


READERS = sorted(_script().READERS)


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_values_or_lines(reader):
    wrong, peak = _script().fuzz(reader, seed=1, count=30)
    assert wrong == [] and peak < 2 << 30


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_many_damaged_files_are_values_or_lines(reader):
    wrong, peak = _script().fuzz(reader, seed=2, count=2000)
    assert wrong == [] and peak < 2 << 30


def test_a_reader_that_breaks_changes_files_or_hangs_is_found(tmp_path, monkeypatch):
    fuzz = _script()
    monkeypatch.setattr(fuzz, "_SECONDS", 1)
    fuzz.signal.signal(fuzz.signal.SIGALRM, fuzz._ring)

    def attempt(read):
        return fuzz.attempt(fuzz.Reader(".txt", list, read), b"x", tmp_path)

    def loop(path):
        while True:
            pass

    assert attempt(lambda path: 1 / 0).startswith("traceback") and attempt(loop).startswith("hangs")
    assert attempt(lambda path: (path.parent / "mine.txt").write_text("yours"))
    assert attempt(lambda path: (path.parent / "new").write_text("")).startswith("files changed")
    (tmp_path / "new").unlink()
    assert attempt(lambda path: path.read_bytes()) == ""


@pytest.mark.parametrize(
    "content, says",
    [
        (b"f\rle,label\na.png,cat\n", "expected a header"),
        (b"f,l\na,%s\n" % (b"9" * 200_000), "not usable CSV"),
    ],
)
def test_a_list_of_samples_that_is_no_csv_is_one_line(content, says, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_labelled(tmp_path / "a.csv", (3, 4, 4))


def test_labels_are_finite_numbers(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4), np.float32))
    (tmp_path / "a.csv").write_text("file,x,y\n" + "a.npy,1,2\na.npy,nan,inf\n" * 6)
    with pytest.raises(InputError, match="a label is no finite number"):
        read_labelled(tmp_path / "a.csv", (3, 4, 4))


def test_a_cut_header_of_an_array_is_one_line(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"'shape': (3,)", b"'shape': ((((", 1))
    with pytest.raises(InputError, match="plain arrays, or a damaged one"):
        read_arrays(tmp_path / "a.npy")
