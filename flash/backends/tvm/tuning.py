"""TVM's MetaSchedule: measures variants of every operator and keeps the fastest.

The log (a folder) holds every measured variant: a run that was interrupted, or asked for more
trials later, goes on from there. Candidates are built and measured on this machine, so it tunes
for this machine alone.

Two defects of TVM 0.27 are worked around here. Newer ``apache-tvm-ffi`` than 0.1.14.post0
crashes the process at the first task, so it is refused. Building workers parse CUDA and other
intrinsics nobody needs on a processor, longer than a worker may take; they get empty modules.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Final, cast

import tvm
import tvm_ffi
from tvm import relax

from flash.backends.tvm.machine import Machine
from flash.command import run_command
from flash.errors import FlashError, UsageError

__all__ = ["Tuning", "tuned_library"]

_WORKING_FFI: Final = "0.1.14"
_BUILD_TIMEOUT_S: Final = 300.0
_MOST_IN_A_ROUND: Final = 64
#: Trials of an operator from which breeding variants by a learned model pays; fewer are drawn at
#: random, without the minutes that breeding takes.
_WORTH_EVOLUTION: Final = 32
_FOREIGN: Final = ("cuda", "metal", "rocm", "hexagon", "riscv_cpu")
_RECORDS: Final = "database_tuning_record.json"


@dataclass(frozen=True)
class Tuning:
    """trials: measured variants in all, those already in the log included."""

    trials: int
    log: Path
    seed: int = 0

    @property
    def done(self) -> int:
        """Variants in the log."""
        path = self.log / _RECORDS
        if not path.exists():
            return 0
        with path.open(encoding="utf-8") as lines:
            return sum(1 for line in lines if line.strip())


def tuned_library(content: bytes, machine: Machine, tuning: Tuning) -> bytes:
    """An ONNX model as a library of the log's best variants, the log filled up to the budget.

    It runs in a process group of its own: Ctrl-C would otherwise reach TVM's workers first, whose
    tracebacks fill the screen and end the run in an error. What was measured by then is kept.

    Raises what the process says, ``FlashError`` or ``UsageError``.
    """
    if not tvm_ffi.__version__.startswith(_WORKING_FFI):
        raise UsageError(
            f"tuning crashes with apache-tvm-ffi {tvm_ffi.__version__}: "
            "pip install apache-tvm-ffi==0.1.14.post0"
        )
    _drop_half_line(tuning.log / _RECORDS)
    order = {"machine": asdict(machine), "trials": tuning.trials, "seed": tuning.seed}
    with tempfile.TemporaryDirectory(prefix="flash-tuning-") as folder:
        place = Path(folder)
        (place / "model.onnx").write_bytes(content)
        (place / "order.json").write_text(json.dumps(order), encoding="utf-8")
        command = [sys.executable, "-m", __name__, folder, str(tuning.log.resolve())]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            # Standard input stays open while this process lives, see main.
            with cast(IO[bytes], process.stdin), cast(IO[bytes], process.stderr) as stderr:
                said = stderr.read()
                process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if process.returncode:
            lines = said.decode(errors="replace").strip().splitlines() or ["no message"]
            error = UsageError if process.returncode == UsageError.exit_code else FlashError
            raise error(lines[-1].removeprefix("flash: "))
        return (place / "library.so").read_bytes()


def _drop_half_line(path: Path) -> None:
    """Cut what a killed run wrote of its last record."""
    if path.exists():
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            path.write_bytes(whole)


def main(arguments: Sequence[str]) -> None:
    """The process of ``tuned_library``: folder with model and order, folder of the log."""
    from flash.backends.tvm.build import tvm_library  # noqa: PLC0415 (which imports this)

    threading.Thread(target=_end_with_parent, daemon=True).start()
    place, log = map(Path, arguments)
    order = json.loads((place / "order.json").read_text(encoding="utf-8"))
    compiler = partial(_tuned_executable, tuning=Tuning(order["trials"], log, order["seed"]))
    content = (place / "model.onnx").read_bytes()
    library = tvm_library(content, Machine(**order["machine"]), compiler)
    (place / "library.so").write_bytes(library)


def _end_with_parent() -> None:
    """End this process and its workers when whoever started it is gone, however it went."""
    os.read(0, 1)  # sys.stdin's lock would keep this process from ending by itself
    os.killpg(0, signal.SIGKILL)


def _tuned_executable(module: Any, target: Any, tuning: Tuning) -> Any:
    _leave_out_foreign_intrinsics()
    from tvm.s_tir import meta_schedule  # noqa: PLC0415 (only after the line above)

    logging.getLogger("tvm.s_tir.meta_schedule").setLevel(logging.ERROR)
    tuning.log.mkdir(parents=True, exist_ok=True)
    database = meta_schedule.database.JSONDatabase(work_dir=str(tuning.log))
    with target:
        lowered = _lowered(module)
    _measure_variants(lowered, target, tuning, database)
    with target, database:
        lowered = relax.transform.MetaScheduleApplyDatabase()(lowered)
    return tvm.compile(lowered, target=target)


def _measure_variants(module: Any, target: Any, tuning: Tuning, database: Any) -> None:
    """Fill the log up to the budget, every operator to an equal share, one after another.

    TVM's own order starts the next operator before it stores what it measured of the last.
    """
    from tvm.s_tir.meta_schedule import builder, relax_integration, tune_tasks  # noqa: PLC0415

    operators = relax_integration.extract_tasks(module, target)
    for number, operator in enumerate(operators):
        share = (tuning.trials + len(operators) - 1 - number) // len(operators)
        workload = database.commit_workload(operator.dispatched[0])
        records = database.get_all_tuning_records()
        left = share - sum(record.workload.same_as(workload) for record in records)
        thorough = share >= _WORTH_EVOLUTION
        contexts, weights = relax_integration.extracted_tasks_to_tune_contexts(
            [operator],
            str(tuning.log),
            strategy="evolutionary" if thorough else "replay-trace",
            # Else a run that goes on draws the same again.
            seed=tuning.seed + len(records),
        )
        if left <= 0 or not contexts:
            continue
        tune_tasks(
            tasks=contexts,
            task_weights=weights,
            work_dir=str(tuning.log),
            max_trials_global=left,
            num_trials_per_iter=min(_MOST_IN_A_ROUND, left),
            builder=builder.LocalBuilder(
                timeout_sec=_BUILD_TIMEOUT_S, initializer=_leave_out_foreign_intrinsics
            ),
            database=database,
            cost_model="xgb" if thorough and importlib.util.find_spec("xgboost") else "random",
        )


def _lowered(module: Any) -> Any:
    """Fused operators as loops: what is tuned."""
    steps = [
        relax.transform.DecomposeOpsForInference(),
        relax.transform.CanonicalizeBindings(),
        relax.get_pipeline("zero"),
    ]
    return tvm.transform.Sequential(steps)(module)


def _leave_out_foreign_intrinsics() -> None:
    """Empty modules in the place of intrinsics for other hardware: parsing them takes 38 s."""
    for name in _FOREIGN:
        full = f"tvm.s_tir.tensor_intrin.{name}"
        sys.modules.setdefault(full, ModuleType(full))


if __name__ == "__main__":
    sys.exit(run_command(main))
