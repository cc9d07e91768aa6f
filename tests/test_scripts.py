"""Every script says what it does and takes: ``--help`` prints that and runs nothing."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from flash.__main__ import COMMANDS, _dispatch
from flash.command import EXIT_CODES, run_command

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [
    path.relative_to(ROOT)
    for path in sorted((ROOT / "scripts").rglob("*.py"))
    if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_has_help_and_help_runs_nothing(script, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASH_SHARED", str(tmp_path / "none"))
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.setattr(sys, "path", [str((ROOT / script).parent), *sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    for name, module in list(sys.modules.items()):  # scripts import each other by bare names
        if str(getattr(module, "__file__", None)).startswith(str(ROOT / "scripts")):
            monkeypatch.delitem(sys.modules, name)
    assert ended.value.code in (0, None)
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: ") and "--help" in printed.out and not printed.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_its_help_with_the_exit_codes(command, capsys):
    assert run_command(_dispatch, [command, "--help"]) == 0
    assert EXIT_CODES in capsys.readouterr().out


def test_the_guide_has_the_exit_codes_of_the_commands():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert " ".join(EXIT_CODES.partition(": ")[2].split()) in readme
