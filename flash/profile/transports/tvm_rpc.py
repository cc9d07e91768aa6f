"""Boards behind a TVM tracker as a device: models are compiled here and run there."""

from __future__ import annotations

import datetime
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flash.backends.tvm.machine import Machine
from flash.errors import UsageError
from flash.measurements.records import SCHEMA, describe_origin, network_key
from flash.profile.suites.suite import read_head
from flash.profile.transports.base import Job, Options
from flash.profile.transports.journal import append_records, check_same, read_journal, start_over
from flash.quantities import format_latency

if TYPE_CHECKING:
    from flash.backends.tvm.rpc import Tracker

__all__ = ["TvmRpcDevice"]


@dataclass(frozen=True)
class TvmRpcDevice:
    """One kind of board. Measures ONNX files, not suites, whose weights are kept apart.

    machine: what the board is, for the compiler.
    """

    tracker: Tracker
    machine: Machine

    def profile(self, job: Job) -> str:
        """See ``Device.profile``; of the program's options, only ``resume`` applies."""
        from flash.backends import measure_tvm_rpc  # noqa: PLC0415 (an extra)

        options = replace(job.options, resume=True)
        if options.provider == "cpu":
            options = replace(options, provider=None)
        if options != Options():
            raise UsageError("over TVM RPC networks run as TVM runs them: no option but resume")
        head, models = self._read(job.suite)
        before, records = read_journal(job.out)  # refuses a file of something else
        if not job.options.resume:
            before, records = {}, []
        check_same(job.out, before, head)
        known = {network_key(record["network"]) for record in records}
        left = [(network, model) for network, model in models if network_key(network) not in known]
        self.tracker.connect()  # before a file is made
        if not job.options.resume:
            start_over(job.out, head)
        append_records(job.out, head, ())
        words = []
        named = [(network["onnx"], content) for network, content in left]
        measured = measure_tvm_rpc(named, self.tracker, self.machine) if left else iter(())
        for (network, _), found in zip(left, measured, strict=True):
            append_records(job.out, head, [found | {"network": network}])
            words.append(f"{network['onnx']}: {_latency(found['latency_ms'])}")
            if not job.quiet:
                sys.stderr.write(f"{words[-1]}\n")
        done = f"{len(left)} measured on {describe_origin(head)}"
        kept = f", {len(known)} there already" if known else ""
        return "\n".join([*words, f"{done}{kept}", f"written: {job.out}"]) + "\n"

    def _read(self, suite: Path) -> tuple[dict[str, Any], list[tuple[dict[str, str], bytes]]]:
        """The result file's first line, and the models of a suite of someone's own."""
        from flash.backends import tvm_version  # noqa: PLC0415 (an extra)

        with zipfile.ZipFile(suite) as archive:
            document = read_head(archive)
            if document["weights"] is not None:
                raise UsageError("--tvm-rpc measures ONNX files: name some")
            if document["batch"] != 1:
                raise UsageError("over TVM RPC a batch has one image")
            entries = document["workloads"]
            for entry in entries:
                if entry.get("files") or "input_shapes" in entry["network"]:
                    raise UsageError(
                        f"{entry['network']['onnx']}: over TVM RPC a model carries its weights and "
                        "states its shapes"
                    )
            models = [(dict(e["network"]), archive.read(e["model"])) for e in entries]
        now = datetime.datetime.now(datetime.UTC)
        head = {
            "schema": SCHEMA,
            "device": {"model": f"board '{self.tracker.key}' over TVM RPC"}
            | {"cpu": self.machine.mcpu, "cores": self.machine.cores},
            "runtime": {"name": "tvm, untuned", "version": tvm_version(), "provider": "llvm"},
            "threads": self.machine.cores,
            "precision": document["precision"],
            "batch": 1,
            "date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return head, models


def _latency(found: Mapping[str, float]) -> str:
    value, low, high = (format_latency(found[key]) for key in ("median", "p10", "p90"))
    return f"{value} ({low} to {high}, {found['runs']} runs)"
