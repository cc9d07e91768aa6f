"""Every figure of speed and memory that flash promises, in one table, by one command.

    python scripts/bench/all.py [--rounds 3] [--only WORD ...] [--long] [--csv FILE]

Each row is a process of its own; runs of it and of the reference (``import numpy,
scipy.optimize``) alternate. Times are of the CPU, so that a busy machine tells the same; ratios
are of the shortest runs. Rows "inside" leave imports out: the process counts its own seconds
around the work. The CSV file gains a line a row, with the version and the revision: a slowdown
shows as a step in the column ``ratio``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import flash
from flash.spaces.space import load_space
from flash.spaces.stage_tables import separates

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ["-c", "import numpy, scipy.optimize"]
COLUMNS = (
    "date",
    "version",
    "revision",
    "row",
    "cpu_s",
    "reference_s",
    "ratio",
    "peak_mib",
    "asked",
    "met",
)
_UNITS = {"x": "ratio", "s": "cpu_s", "MiB": "peak_mib", "instructions": "instructions"}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    command: arguments of Python; ``{folder}`` is an empty folder of the row's own.
    asked:   bounds with units: ``x`` the reference's CPU time, ``s`` of CPU time, ``MiB`` peak.
    long:    left out unless asked for.
    """

    name: str
    command: tuple[str, ...]
    asked: str
    long: bool = False


@dataclass
class Run:
    """CPU seconds and peak resident memory of one process."""

    cpu_s: float
    peak_mib: float


def _search(*options: str) -> tuple[str, ...]:
    return ("-m", "flash.search", *options, "--out", "{folder}/out", "--quiet")


def _inside(name: str) -> tuple[str, ...]:
    return (str(Path(__file__).with_name("rows_inside.py")), name, "{folder}")


#: Shipped spaces that the default optimizer searches; the others have no stage tables.
SPACES = [
    path.stem
    for path in sorted((ROOT / "models").glob("*.toml"))
    if separates(load_space(path.stem))
]
ROWS = (
    Row("search rpi3b", _search("--target", "rpi3b"), "1.8 x, 110 MiB"),
    Row(
        "search rpi3b exact",
        _search("--target", "rpi3b", "--optimizer", "exact"),
        "1.0 x, 62 MiB",
    ),
    Row(
        "search rpi3b alone, instructions",
        _inside("instructions"),
        "1000000000 instructions",
        long=True,
    ),
    Row("flash --help", ("-m", "flash", "--help"), "0.06 s"),
    Row("flash search --help", ("-m", "flash", "search", "--help"), "0.12 s"),
    *(
        Row(
            f"search rpi3b {space}",
            _search("--target", "rpi3b", "--space", space),
            "2.2 x, 150 MiB",
        )
        for space in SPACES
    ),
    Row("exact, 3 objectives", _inside("exact_three"), "0.8 s"),
    Row("exact, 4 objectives", _inside("exact_four"), "8 s"),
    Row("exact, 3 objectives, 10^15 in three cells", _inside("exact_huge"), "10 s"),
    Row("estimate 100,000 designs", _inside("estimate_100k"), "4 s"),
    Row("estimate 10^6 designs", _inside("estimate_million"), "40 s, 300 MiB", long=True),
    Row("nasbench-macro, own score", _inside("macro"), "0.010 s"),
    Row("vgg19 ONNX", _inside("onnx_vgg19"), "0.5 s, 120 MiB"),
    Row("resnet50 ONNX", _inside("onnx_resnet50"), "0.5 s, 120 MiB"),
    Row("six proxies together / one by one", _inside("proxies_together"), "0.5 share"),
    Row("fit of 50 rows", _inside("fit_50"), "3 s"),
    Row("fit of 500 rows", _inside("fit_500"), "10 s", long=True),
    Row("systolic joint, bound", _inside("systolic"), "0.1 gap_percent, 15 s", long=True),
    Row("front of 50,000 written, each file", _inside("front_files"), "1 s"),
)


def _run(arguments: list[str]) -> tuple[Run, str]:
    """One process; raises ``SystemExit`` with what it said if it fails."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=errors,
            cwd=ROOT,
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if status:
            raise SystemExit(f"{' '.join(arguments)} failed:\n{errors.read()}")
        cpu_s = usage.ru_utime + usage.ru_stime
        return Run(cpu_s, usage.ru_maxrss / 1024), output.read()


def _measured(row: Row, rounds: int) -> tuple[Run, float, dict[str, float]]:
    """Shortest run, the reference's shortest, and what an "inside" row says itself."""
    runs, references, told = list[Run](), list[Run](), dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        command = [word.replace("{folder}", folder) for word in row.command]
        if "rows_inside" in command[0]:
            _run([command[0], f"prepare:{command[1]}", folder])
        for _ in range(rounds):
            references.append(_run(REFERENCE)[0])
            run, output = _run(command)
            if "rows_inside" in command[0]:
                told = json.loads(output.splitlines()[-1])
                run.cpu_s = told.pop("cpu_s", run.cpu_s)
            runs.append(run)
    best = Run(min(r.cpu_s for r in runs), max(r.peak_mib for r in runs))
    return best, min(r.cpu_s for r in references), told


def _met(asked: str, figures: dict[str, float]) -> bool:
    bounds = re.findall(r"([\d.]+) (\w+)", asked)
    return all(figures[_UNITS.get(unit, unit)] <= float(bound) for bound, unit in bounds)


def _revision() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return found.stdout.strip() if found.returncode == 0 else ""


def _writer(path: str | None) -> Callable[[dict[str, object]], None]:
    """Appends a line to the file; its heading if it is new."""

    def write(line: dict[str, object]) -> None:
        if path is None:
            return
        new = not Path(path).exists()
        with Path(path).open("a", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(line)

    return write


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs a row, the shortest counts")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="rows with a WORD")
    parser.add_argument("--long", action="store_true", help="rows that take minutes too")
    parser.add_argument("--csv", metavar="FILE", help="append the rows there")
    options = parser.parse_args()
    write, revision = _writer(options.csv), _revision()
    print(f"{'row':44} {'CPU':>8} {'ratio':>6} {'peak':>8}   asked")
    for row in ROWS:
        if (options.only and not any(w in row.name for w in options.only)) or (
            row.long and not options.long
        ):
            continue
        began = time.perf_counter()
        run, reference, told = _measured(row, options.rounds)
        figures = {
            "cpu_s": run.cpu_s,
            "ratio": run.cpu_s / reference,
            "peak_mib": run.peak_mib,
            **told,
        }
        met = _met(row.asked, figures)
        more = "".join(f", {name} {value:.3g}" for name, value in told.items())
        print(
            f"{row.name:44} {run.cpu_s:6.3f} s {figures['ratio']:6.2f} {run.peak_mib:4.0f} MiB"
            f"   {row.asked}: {'met' if met else 'SHORT'}{more}"
            f"  ({time.perf_counter() - began:.0f} s)",
            flush=True,
        )
        write(
            {
                "date": datetime.now(UTC).date().isoformat(),
                "version": flash.__version__,
                "revision": revision,
                "row": row.name,
                "reference_s": f"{reference:.3f}",
                **{n: f"{figures[n]:.4g}" for n in ("cpu_s", "ratio", "peak_mib")},
                "asked": row.asked,
                "met": met,
            }
        )


if __name__ == "__main__":
    main()
