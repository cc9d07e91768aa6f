"""TVM's MetaSchedule: measures variants of every operator and keeps the fastest.

The log (a folder) holds every measured variant: a run that was interrupted, or asked for more
trials later, goes on from there. Candidates are built and measured on this machine, so it tunes
for this machine alone.

Two defects of TVM 0.27 are worked around here. Newer ``apache-tvm-ffi`` than 0.1.14.post0
crashes the process at the first task, so it is refused. Building workers parse CUDA and other
intrinsics nobody needs on a processor, longer than a worker may take; they get empty modules.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import tvm
import tvm_ffi
from tvm import relax

from flash.errors import UsageError

__all__ = ["Tuning", "tuned_executable"]

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


def tuned_executable(module: Any, target: Any, tuning: Tuning) -> Any:
    """The module compiled with the best variants of the log, which is filled up to the budget."""
    if not tvm_ffi.__version__.startswith(_WORKING_FFI):
        raise UsageError(
            f"tuning crashes with apache-tvm-ffi {tvm_ffi.__version__}: "
            "pip install apache-tvm-ffi==0.1.14.post0"
        )
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
