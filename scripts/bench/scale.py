"""The largest jobs that flash takes, each with its time and memory: ``scripts/bench/scale.py``.

    nice -n 10 python scripts/bench/scale.py [--only WORD] [--csv FILE]

A million designs estimated, a million measurements fitted, a front of 50,000 designs written,
graphs of 20,000 nodes read, spaces of 12 stages searched; and what is beyond its bound, which has
to be refused at once. Each is a process of its own. A job is within its bounds where it takes at
most 60 s of the CPU and 2 GB, or is refused, naming the bound, within 5 s. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SECONDS, _REFUSED_SECONDS, _MEGABYTES = 60.0, 5.0, 2000.0
_MILLION = 1_000_000
_NODES = 20_000


@dataclass(frozen=True)
class Job:
    """A job: what makes its inputs in a folder, the command, and the exit code it has to give."""

    name: str
    prepare: Callable[[Path], None]
    command: tuple[str, ...]
    code: int = 0


def _words(text: str) -> tuple[str, ...]:
    return ("-m", "flash", *text.split())


# ------------------------------------------------------------------------------------ their inputs
def _nothing(folder: Path) -> None:
    """A job without inputs."""


def _design(dice: random.Random) -> str:
    """A random design of ``cifar10-concat``."""
    widths = [dice.randrange(8, 69, 4), dice.randrange(16, 137, 8), dice.randrange(32, 273, 16)]
    links = [dice.randrange(0, 153, 8), dice.randrange(0, 305, 16), dice.randrange(0, 609, 32)]
    depths = [dice.randrange(3, 19) for _ in range(3)]
    parts = zip("wdt", (widths, depths, links), strict=True)
    return " ".join(f"{name}={','.join(map(str, values))}" for name, values in parts)


def _designs(folder: Path) -> None:
    dice = random.Random(0)
    with (folder / "designs.txt").open("w", encoding="utf-8") as stream:
        stream.writelines(f"{_design(dice)}\n" for _ in range(_MILLION))


def _table(folder: Path) -> None:
    """Latencies by parameters and noise: that they fit well is not what is asked."""
    dice = random.Random(0)
    with (folder / "runs.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["design", "latency_ms"])
        for _ in range(_MILLION):
            design = _design(dice)
            widths = [int(w) for w in design.split()[0][2:].split(",")]
            writer.writerow([design, f"{sum(widths) ** 1.5 / 100 * dice.uniform(0.9, 1.1):.5g}"])


def _lines(folder: Path) -> None:
    """The records of a shipped file, each a network of its own, until there are a million."""
    source = ROOT / "hw_profiles" / "measurements" / "x86-avx512-1-thread.jsonl"
    head, *records = source.read_text(encoding="utf-8").splitlines()
    short = [record for record in records if '"workload":"' in record and len(record) < 3000][:40]
    with (folder / "runs.jsonl").open("w", encoding="utf-8") as stream:
        stream.write(head + "\n")
        for number in range(_MILLION):
            record = short[number % len(short)]
            begin = record.index('"latency_ms"')
            end = record.index("}", begin) + 1
            stream.write(f'{{"network":{_workload(number)},{record[begin:end]}}}\n')


def _workload(number: int) -> str:
    side, channels, width = 4 + number % 61, 1 + number // 61 % 128, 1 + number // 7808
    return f'{{"workload":"{channels}x{side}x{side}: conv k3 {width}; relu"}}'


def _chain(count: int) -> Callable[[Path], None]:
    """A graph of ``count`` nodes: convolutions and activations, one behind the other."""

    def write(folder: Path) -> None:
        import numpy as np  # noqa: PLC0415 (only where such a graph is wanted)
        from onnx import TensorProto, helper, numpy_helper, save  # noqa: PLC0415

        nodes, weights = [], []
        for k in range(count):
            into = f"x{k}"
            if k % 2:
                nodes.append(helper.make_node("Relu", [into], [f"x{k + 1}"]))
                continue
            weights.append(numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), f"w{k}"))
            nodes.append(helper.make_node("Conv", [into, f"w{k}"], [f"x{k + 1}"]))
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8])
            for name in ("x0", f"x{count}")
        ]
        graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
        save(helper.make_model(graph), str(folder / "chain.onnx"))

    return write


def _space(folder: Path) -> None:
    """Twelve cells, each with a width, a depth and links of its own."""
    grids = "".join(
        f"w{k} = [{8 * k}, {8 * k + 8}, {8 * k + 16}]\nd{k} = [3, 4, 5]\nt{k} = [0, {16 * k}]\n"
        for k in range(1, 13)
    )
    (folder / "twelve.toml").write_text(
        'schema = "flash.space/1"\nname = "twelve"\nfamily = "concat"\nclasses = 10\n'
        "input = { channels = 3, height = 4096, width = 4096 }\n"
        f"settings = {{ cells = 12 }}\n\n[variables]\n{grids}"
    )


def _long_lines(folder: Path) -> None:
    with (folder / "runs.jsonl").open("wb") as stream:
        stream.truncate(600 << 20)


#: Writes every file of a front of 50,000 designs: those of a search, as often as it takes.
_FRONT = """
from dataclasses import replace
from flash.report.files import write_files
from flash.search import search
report = search(target="rpi3b", objectives=("score", "latency", "memory"), metric="nn_degree",
                extrapolate=True, optimizer="exact")
front = list(report.front)
while len(front) < 50_000:  # the same designs again, each with an id of its own
    front += [replace(design, id=f"{design.id}-{len(front)}") for design in report.front]
write_files(replace(report, front=front[:50_000]), "out")
"""

JOBS = (
    Job(
        "estimate 10^6 designs",
        _designs,
        _words("estimate --space cifar10-concat --designs designs.txt --target rpi3b --csv o.csv"),
    ),
    Job(
        "fit 10^6 rows of a table",
        _table,
        _words("fit runs.csv --space cifar10-concat --name many --quiet"),
    ),
    Job("fit 10^6 lines", _lines, _words("fit runs.jsonl --name many --quiet")),
    Job("fit 600 MiB", _long_lines, _words("fit runs.jsonl --name many --quiet"), 4),
    Job("front of 50,000 designs, all files", _nothing, ("-c", _FRONT)),
    Job(
        "estimate a graph of 20,000 nodes",
        _chain(_NODES),
        _words("estimate chain.onnx --target rpi4b --csv o.csv"),
    ),
    Job(
        "check a graph of 20,000 nodes",
        _chain(_NODES),
        _words("check chain.onnx --target x86-epyc --max-latency 10s"),
    ),
    Job("a graph of 2,000,000 nodes", _chain(2 * _MILLION), _words("estimate chain.onnx"), 4),
    Job(
        "search 12 stages",
        _space,
        _words("search --space twelve.toml --target rpi4b --out out --quiet"),
    ),
    Job(
        "search 12 stages, exact",
        _space,
        _words("search --space twelve.toml --target rpi4b --out out --optimizer exact --quiet"),
    ),
)


def _measured(job: Job) -> tuple[float, float, float, str]:
    """Seconds of the CPU and by the clock, peak memory (MB), and what is wrong, if anything."""
    with tempfile.TemporaryDirectory(prefix="flash-scale-") as folder:
        # In a process of its own: the peak of a child begins with what its parent holds.
        making = multiprocessing.get_context("fork").Process(
            target=job.prepare, args=(Path(folder),)
        )
        making.start()
        making.join()
        if making.exitcode:
            raise SystemExit(f"{job.name}: its inputs could not be made")
        began = time.monotonic()
        with (Path(folder) / "said").open("w+b") as said:
            process = subprocess.Popen(
                [sys.executable, *job.command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            )
            _, status, usage = os.wait4(process.pid, 0)
            said.seek(0)
            words = said.read().decode(errors="replace").strip()
        process.returncode = os.waitstatus_to_exitcode(status)
    cpu_s, peak_mb = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
    wrong = []
    if process.returncode != job.code or "Traceback" in words:
        wrong.append(f"exit code {process.returncode}: {words[-200:]}")
    if cpu_s > (_REFUSED_SECONDS if job.code else _SECONDS):
        wrong.append("too long")
    if peak_mb > _MEGABYTES:
        wrong.append("too much memory")
    told = words.splitlines()[-1] if job.code and words else ""
    return cpu_s, time.monotonic() - began, peak_mb, "; ".join(wrong) or f"ok  {told}".strip()


def main() -> int:
    """Run the jobs, print a line each; 1 if one is beyond its bounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="WORD", default="", help="jobs with this in the name")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the table as CSV too")
    given = parser.parse_args()
    rows = []
    print(f"{'job':<36}{'CPU s':>8}{'s':>8}{'MB':>8}")
    for job in JOBS:
        if given.only in job.name:
            cpu_s, wall_s, peak_mb, verdict = _measured(job)
            rows.append((job.name, round(cpu_s, 2), round(wall_s, 2), round(peak_mb), verdict))
            print(f"{job.name:<36}{cpu_s:8.1f}{wall_s:8.1f}{peak_mb:8.0f}  {verdict}", flush=True)
    if given.csv:
        with given.csv.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("job", "cpu_s", "s", "mb", "verdict"), *rows])
    return int(any(not row[-1].startswith("ok") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
