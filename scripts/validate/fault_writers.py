"""Four processes that write one thing at once, for ``faults.py``; each says what was wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from fault_commands import ROOT, finished, processes, torn

_EACH = 50
_TABLE = """
    from flash.training.results import TrainedDesign, append_result
    for k in range(EACH):
        row = TrainedDesign("s", f"w={ME} d={k}", "data", "fit", "quick", 0, 70.0, 1, 1.0, "cpu",
                            1, 1, "d", 71.0, (1.0,))
        append_result(PLACE / "table.csv", row)
"""
_BUDGET = """
    from flash.search.budgeted.evaluator import Trial
    from flash.search.budgeted.journal import Journal
    from flash.spaces.space import load_space
    space = load_space("nasbench201")
    journal = Journal(PLACE / "trained.csv", space, "x")
    for k in range(EACH):
        design = tuple((ME * EACH + k) // 5**p % 5 for p in range(6))
        journal.append(Trial(design, float(k), 0.1, False, ""))
"""
_CACHE = """
    from flash.proxies.cache import Entry, Key, ScoreCache
    with ScoreCache(PLACE / "scores.sqlite") as cache:
        for k in range(EACH):
            cache.put(Key(f"{ME}-{k}", "naswot", 0, 1), Entry(float(k), "", 0.1))
"""
_FOLDER = """
    from flash.files.writing import write_folder
    import hashlib, json, random
    for k in range(EACH):
        files = {f"{n}.txt": f"{ME} {k} {n} " * 2000 for n in "abcd"[: 2 + random.randrange(3)]}
        said = {n: hashlib.sha256(c.encode()).hexdigest() for n, c in files.items()}
        write_folder(PLACE / "out", files | {"run.json": json.dumps(said)})
"""
_DATED = """
    from flash.files.writing import write_folder
    for k in range(EACH):
        write_folder(PLACE / "out" / "today", {"a.txt": f"{ME} {k}"}, new=True)
"""


def _at_once(code: str, place: Path) -> list[str]:
    """Run the code in four processes; their errors."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", f"ME, EACH = {me}, {_EACH}\n" + _BEGIN + textwrap.dedent(code)]
            + [str(place)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        for me in range(4)
    ]
    errors = [process.communicate(timeout=600)[1].decode() for process in running]
    return [error.strip().splitlines()[-1] for error in errors if error.strip()]


_BEGIN = "import sys; from pathlib import Path; PLACE = Path(sys.argv[1])\n"


def _lines_of(code: str, name: str) -> Callable[[Path], list[str]]:
    """All that four processes append is there, whole."""

    def write(place: Path) -> list[str]:
        wrong = _at_once(code, place)
        problem = torn(place / name, False)
        count = len(finished(place / name)) - (name != "scores.sqlite")  # less a header
        if count != 4 * _EACH:
            wrong.append(f"{count} of {4 * _EACH} lines are there")
        left = sorted(path.name for path in place.iterdir() if path.name != name)
        return wrong + ([problem] if problem else []) + ([f"left over: {left}"] if left else [])

    return write


def _folder(place: Path) -> list[str]:
    """The folder holds what one run wrote, besides files of others that it did not write."""
    wrong, out = _at_once(_FOLDER, place), place / "out"
    for name, digest in json.loads((out / "run.json").read_text()).items():
        if hashlib.sha256((out / name).read_bytes()).hexdigest() != digest:
            wrong.append(f"{name} is of another run")
    left = [p.name for p in (*out.iterdir(), *place.iterdir()) if p.name.startswith(".flash")]
    return wrong + ([f"left over: {left}"] if left else [])


def _dated(place: Path) -> list[str]:
    wrong = _at_once(_DATED, place)
    contents = {(path / "a.txt").read_text() for path in (place / "out").iterdir()}
    if len(contents) != 4 * _EACH:
        wrong.append(f"{len(contents)} of {4 * _EACH} runs are there")
    return wrong


def _profile(place: Path) -> list[str]:
    """One process measures, the others say that it does and leave the file alone."""
    (place / "w.txt").write_text("8x8x8: conv k3 8; relu\n72x112x112: dw k5 *8\n")
    mark = f"FLASH_FAULTS=writers-{place.name}-{os.getpid()}"
    name, value = mark.split("=")
    words = ["profile", "--workloads", "w.txt", "--out", "m.jsonl", "--budget", "20s", "--quiet"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "flash", *words],
            cwd=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(place), name: value},
        )
        for _ in range(4)
    ]
    ended = [(p.communicate(timeout=600)[1].decode(), p.returncode) for p in running]
    wrong = [f"exit code {code}: {e}" for e, code in ended if code not in (0, 2) or "Trace" in e]
    if not any(code == 0 for _, code in ended):
        wrong.append("nobody measured")
    problem = torn(place / "m.jsonl", False)
    left = [p.name for p in place.iterdir() if p.name not in ("w.txt", "m.jsonl")]
    wrong += [f"left over: {left}"] if left else []
    wrong += ["processes left"] if list(processes(mark)) else []
    return wrong + ([problem] if problem else [])


WRITERS: dict[str, Callable[[Path], list[str]]] = {
    "calibration table": _lines_of(_TABLE, "table.csv"),
    "trained journal": _lines_of(_BUDGET, "trained.csv"),
    "profile journal": _profile,
    "score cache": _lines_of(_CACHE, "scores.sqlite"),
    "results folder": _folder,
    "dated folders": _dated,
}
