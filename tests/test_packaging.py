"""What is shipped: wheel and sdist hold what they need, the notebook runs, the action is safe."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from flash import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_the_wheel_has_code_data_pages_and_licences(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith("METADATA"))
        told = Parser().parsestr(archive.read(metadata).decode())
    for path in (ROOT / "flash").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert str(path.relative_to(ROOT)) in names
    for folder in ("models", "hw_profiles"):
        for path in (ROOT / folder).glob("*.toml"):
            assert f"flash/data_files/{folder}/{path.name}" in names
    assert "flash/data_files/scripts/profile_device.py" in names
    assert "flash/explorer/assets/uplot.LICENSE" in names
    assert not [name for name in names if name.startswith(("tests", "docs", "scripts"))]
    assert told["Name"] == "flash-codesign" and told["Version"] == __version__
    assert told["License-Expression"] == "Apache-2.0 AND MIT" and told["Author"]
    core = [line for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    assert {re.split(r"[<>=]", line)[0] for line in core} == {"numpy", "scipy", "moocore", "rich"}


def test_the_sdist_has_what_the_tests_need(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = """
        README.md LICENSE CHANGELOG.md pyproject.toml models/nasbench201.toml tests/conftest.py
        docs/formats.md examples/files/mine.onnx
    """
    assert set(needed.split()) <= names


def test_the_tutorial_runs():
    pytest.importorskip("pandas")
    cells = json.loads((ROOT / "examples" / "tutorial.ipynb").read_text())["cells"]
    names = {"__name__": "__main__"}
    shown = []
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(tree, "tutorial", "exec"), names)  # noqa: S102
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "tutorial", "eval"), names)  # noqa: S307
                shown.append(value)
    assert "<svg" in shown[0]._repr_html_()
    assert all(not cell.get("outputs") for cell in cells)


def test_the_version_is_the_newest_of_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\d[^\]]*)\]", text, re.MULTILINE)[0] == __version__


def test_the_action_reads_its_inputs_as_data():
    """An input that a shell would read as a command must reach it as a variable only."""
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    scripts = text.split("run: ")[1:]
    assert scripts and all("${{" not in script.split("\n    - ")[0] for script in scripts)
