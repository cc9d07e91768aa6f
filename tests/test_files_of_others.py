"""What flash names inside a folder replaces flash's files alone; what the user names is told of."""

from __future__ import annotations

import importlib
import json
import shutil

import pytest

from flash.command import run_command
from flash.errors import UsageError
from flash.files.results import refuse_others_files

_FAST = ("--target", "rpi4b", "--space", "nasbench-macro", "--quiet")
OTHERS = {
    "front.json": '{"made by": "somebody", "about": "flash"}',
    "front.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "front.csv": "a,b\n1,2\n",
    "manifest.json": '{"name": "a web app", "schema": "https://json.schemastore.org/web"}',
}


def _run(verb, *arguments):
    module = importlib.import_module(f"flash.{verb}.command")
    return run_command(module.main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """The folder of a search."""
    folder = tmp_path_factory.mktemp("search") / "out"
    assert _run("search", *_FAST, "--html", "--out", folder) == 0
    return folder


@pytest.mark.parametrize("name", ["front.json", "front.svg", "front.csv"])
def test_a_search_leaves_a_folder_with_another_s_file_as_it_is(name, tmp_path, capsys):
    (tmp_path / name).write_text(OTHERS[name])
    assert _run("search", *_FAST, "--out", tmp_path) == 2
    assert f"{tmp_path / name} is there and is not of flash" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == OTHERS[name]


def test_a_search_replaces_what_a_search_wrote_and_no_other_document_beside_it(front, tmp_path):
    folder = shutil.copytree(front, tmp_path / "again")
    before = (folder / "front.json").read_text()
    assert _run("search", *_FAST, "--html", "--out", folder) == 0
    assert (folder / "front.json").read_text() == before
    (folder / "front.json").write_text(OTHERS["front.json"])
    assert _run("search", *_FAST, "--out", folder) == 2
    assert (folder / "front.json").read_text() == OTHERS["front.json"]


def test_an_export_leaves_another_s_manifest_and_replaces_its_own(front, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    (tmp_path / "manifest.json").write_text(OTHERS["manifest.json"])
    assert _run("export", front / "front.json", "--out", tmp_path) == 2
    assert "is not of flash" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    for _ in range(2):
        assert _run("export", front / "front.json", "--out", tmp_path / "own") == 0


def test_a_page_is_written_over_a_page_of_flash_alone(front, tmp_path, capsys):
    options = ("--format", "html", "--out", tmp_path)
    for _ in range(2):
        assert _run("export", front / "front.json", *options) == 0
    (page,) = tmp_path.iterdir()
    page.write_text("<html>mine</html>")
    assert _run("export", front / "front.json", *options) == 2
    assert page.read_text() == "<html>mine</html>"


def test_a_page_beside_json_on_standard_output_is_told_and_replaces_no_other(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = (*_FAST[:-1], "--json", "-", "--html")
    assert _run("search", *options) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["schema"].startswith("flash.search/")
    assert "written: front.html\n" in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["front.html"]
    (tmp_path / "front.html").write_text("<html>mine</html>")
    assert _run("search", *options) == 2
    assert (tmp_path / "front.html").read_text() == "<html>mine</html>"


def test_a_file_that_the_user_names_is_replaced_and_it_is_said(tmp_path, capsys):
    place = tmp_path / "notes.txt"
    command = ("resnet18", "--target", "rpi4b", "--csv", place)
    assert _run("estimate", *command) == 0
    assert "in place of" not in capsys.readouterr().err
    assert _run("estimate", *command) == 0
    told = f"written: {place}, in place of the file that was there\n"
    assert told in capsys.readouterr().err
    assert _run("search", *_FAST[:-1], "--json", place) == 0
    assert told in capsys.readouterr().err
    assert _run("search", *_FAST, "--json", place) == 0  # --quiet
    assert capsys.readouterr().err == ""


def test_links_and_pipes_are_not_of_flash(tmp_path):
    (tmp_path / "front.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"front\.csv is there and is not of flash"):
        refuse_others_files(tmp_path, ["front.csv"])
