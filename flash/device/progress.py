"""What is told while measuring, on standard error, and the summary at the end."""

from __future__ import annotations

import sys
from typing import Any, Sequence

from flash.device.passes import network_key
from flash.device.processor import CLOCK_MOVED
from flash.device.suite import Task


class Progress:
    """A line a network on standard error, with the time left."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet

    def tell(self, message: str) -> None:
        """One line."""
        if self._quiet or sys.stderr is None:
            return
        line = "".join(c if c.isprintable() else " " for c in message)
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # whoever watched is gone: the connection was cut
            raise KeyboardInterrupt from None

    def done(self, number: int, task: Task, record: dict[str, Any], left_s: float) -> None:
        """A network is done."""
        if "error" in record:
            what = f"refused: {record['error'][:80]}"
        else:
            latency = record["latency_ms"]
            what = f"{latency['median']:>9.4g} ms  {latency['runs']:>5} runs"
        left = f"{int(left_s) // 60}:{int(left_s) % 60:02d} left"
        self.tell(f"[{number:>3}/{self._total}] {what}  {left}  {task.text[:100]}")


def clock_moved(record: dict[str, Any]) -> bool:
    """Whether the clock changed while a network was measured."""
    clock = record.get("clock_mhz")
    return isinstance(clock, dict) and clock["high"] > CLOCK_MOVED * clock["low"]


def summary(
    path: str,
    records: Sequence[dict[str, Any]],
    left_out: Sequence[str],
    inference_s: float,
    total_s: float,
) -> str:
    """What was measured, in one or more lines."""
    refused = [r for r in records if "error" in r]
    measured = {network_key(r["network"]) for r in records if "error" not in r}
    lines = [f"written: {path}: {len(measured)} networks measured"]
    if refused:
        lines[0] += f", {len(refused)} refused (each says why in its line)"
    if left_out:
        lines[0] += f", {len(left_out)} left out for the budget (run again to go on)"
    if inference_s:
        lines.append(
            f"time: {total_s:.1f} s, of which {100 * (1 - inference_s / total_s):.1f} % not "
            "inference"
        )
    warnings = (
        ("the clock was throttled", "cool the device", lambda r: r.get("throttled")),
        ("the clock changed by more than 10 %", "set the governor to performance", clock_moved),
        (
            "the container's CPU quota stopped the process",
            "raise it, or use fewer threads",
            lambda r: (r.get("quota_stopped_s") or 0.0) > 0.0,
        ),
        (
            "threads ran on unlike cores",
            "pin them with taskset",
            lambda r: len(r.get("core_groups") or ()) > 1,
        ),
    )
    for what, mend, holds in warnings:
        count = sum(1 for record in records if holds(record))
        if count:
            lines.append(f"warning: {what} in {count} of them: {mend}")
    lines += _energy_problems(records)
    return "\n".join(lines) + "\n"


def _energy_problems(records: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each sensor without energy, with the first reason."""
    found: dict[str, list[str]] = {}
    for record in records:
        for sensor, problem in (record.get("energy_problems") or {}).items():
            found.setdefault(sensor, []).append(str(problem))
    return [
        f"warning: {sensor}: no energy of {len(problems)} of them: {problems[0]}"
        for sensor, problems in found.items()
    ]
