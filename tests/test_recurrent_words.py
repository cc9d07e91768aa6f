"""Words of a text as the recurrent cells of the validation read them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts" / "validate"))

from recurrent_cells import before, embedded, words_of  # noqa: E402

TEXT = """ = Heading =

 The Bill won 1 @,@ 200 " prizes " in <unk> . A two @-@ part story
"""


def test_a_text_is_read_in_the_form_of_penn_treebank(tmp_path):
    (tmp_path / "text").write_text(TEXT)
    want = "the bill won N prizes in <unk> <eos> a two-part story <eos>"
    assert " ".join(words_of(tmp_path / "text")) == want


def test_streams_begin_apart_and_a_word_has_one_vector():
    words = [*"abcdabefg"]
    found = embedded(words, sequences=2, steps=2, features=3, seed=0)
    assert found.shape == (2, 2, 3)
    assert torch.equal(found[0], found[1])  # words 0, 1 and 4, 5
    assert not torch.equal(found[0, 0], found[0, 1])
    assert 0 < float(found.abs().max()) <= 0.1
    later = embedded(words, sequences=2, steps=2, features=3, seed=1)
    assert not torch.equal(later[0], later[1])  # c d and e f


def test_a_step_begins_from_the_state_that_the_one_before_left():
    states = torch.arange(6.0).reshape(1, 3, 2)
    assert before(states).tolist() == [[[0, 0], [0, 1], [2, 3]]]
