"""The machines of a Ray cluster as one device: networks are spread over them.

For machines that are alike, such as a shelf of boards: their measurements end up in one file, so
unlike ones are refused. On each machine one network is measured at a time, whatever else Ray
runs there; leave them otherwise idle. Every machine needs flash and onnxruntime.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from flash.errors import FlashError, NothingDoneError, UsageError
from flash.files.scratch import scratch_folder
from flash.measurements.records import network_key
from flash.profile.suites.suite import split_suite
from flash.profile.transports.base import Job
from flash.profile.transports.journal import append_records, check_same, read_journal, start_over
from flash.profile.transports.process import run_program
from flash.workers import Lost, run_on_ray

__all__ = ["RayDevice"]

#: Networks of one task: starting the measuring program takes a second or two.
_NETWORKS: Final = 4


@dataclass(frozen=True)
class RayDevice:
    """address: of the cluster, see ``flash.workers.run_on_ray``."""

    address: str

    def profile(self, job: Job) -> str:
        """See ``Device.profile``. The budget is that of all machines together."""
        if job.options.meter is not None:
            raise UsageError("a meter cannot be had with Ray: which machine is it at?")
        head, records = read_journal(job.out)  # refuses a file of something else
        if not job.options.resume:
            head, records = {}, []
        known = {network_key(record["network"]) for record in records if "error" not in record}
        parts = split_suite(
            job.suite.read_bytes(), _NETWORKS, lambda network: network_key(network) not in known
        )
        records = [record for record in records if network_key(record["network"]) in known]
        budget_s = job.options.budget_s
        tasks = [(part, f"--budget={max(1.0, budget_s * share):.3f}s") for part, share in parts]
        words = replace(job.options, resume=True).words()
        options = tuple(word for word in words if not word.startswith("--budget="))
        shared = (job.script.read_bytes(), options)
        failures: list[str] = []
        done = run_on_ray(measure_part, shared, tasks, self.address) if tasks else ()
        for number, event in enumerate(done, start=1):
            found = event.why if isinstance(event, Lost) else event.result
            if isinstance(found, str):
                failures.append(found)
                continue
            part_head, new = found
            check_same(job.out, head, part_head)
            if not head and not job.options.resume:
                start_over(job.out, part_head)
            head = head or part_head
            records += new
            append_records(job.out, head, new)
            if not job.quiet:
                sys.stderr.write(f"{number} of {len(tasks)} tasks done\n")
        if failures:
            raise FlashError(
                f"{len(failures)} of {len(tasks)} tasks failed, the first with: {failures[0]}; the "
                "same command measures what is missing"
            )
        measured = sum("latency_ms" in record for record in records)
        if records and not measured:
            raise NothingDoneError(f"nothing was measured: {records[0].get('error')}")
        kept = f", {len(known)} of them before" if known else ""
        return f"written: {job.out}: {measured} networks measured{kept}\n"


def measure_part(shared: tuple[bytes, Sequence[str]], task: tuple[bytes, str]) -> Any:
    """Run the measuring program on a suite, on whatever machine this is.

    Returns the first line and the records, or a line that says why there are none.
    """
    script, options = shared
    suite, budget = task
    with _one_at_a_time(), scratch_folder("ray") as place:
        (place / "profile_device.py").write_bytes(script)
        (place / "suite.zip").write_bytes(suite)
        out = place / "measurements.jsonl"
        command = [sys.executable, str(place / "profile_device.py")]
        command += [f"--suite={place / 'suite.zip'}", f"--out={out}", budget, *options]
        try:
            run_program(command, quiet=True).check("measuring")
        except NothingDoneError:  # each record says why
            pass
        except FlashError as error:
            return str(error)
        head, *records = (json.loads(line) for line in out.read_text("utf-8").splitlines())
        return head, records


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait until nobody else of this user measures on this machine."""
    path = Path(tempfile.gettempdir()) / f"flash-profile-{os.getuid()}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
