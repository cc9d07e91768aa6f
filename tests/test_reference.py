"""The Python reference of the site: what it names is there, and its docstrings become Markdown."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
NAMES = [
    name
    for page in PAGES
    for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.fixture
def listed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield importlib.import_module("reference_docs").listed
    sys.modules.pop("reference_docs", None)


def test_every_name_is_in_flash_and_has_a_docstring():
    assert len(NAMES) > 30 and len(set(NAMES)) == len(NAMES)
    for name in NAMES:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_every_command_is_in_it():
    from flash import COMMANDS

    functions = {name.rpartition(".")[2] for name in NAMES}
    assert {"catalogue" if name == "list" else name for name in COMMANDS} <= functions


def test_lines_of_parameters_become_a_list(listed):
    assert listed("Do it.\n\na, b: two of\n      ``c``.  d: more") == (
        "Do it.\n\n- **a, b**: two of `c`.\n- **d**: more"
    )


def test_examples_become_code(listed):
    text = listed('So:\n>>> f[1]("x")\n2')
    assert text == 'So:\n\n```python\n>>> f[1]("x")\n2\n```'
