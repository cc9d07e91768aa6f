"""Latency on boards that are reached through a TVM tracker.

The boards run ``python -m tvm.exec.rpc_server --tracker HOST:PORT --key KEY``, the tracker
``python -m tvm.exec.rpc_tracker``. Models are compiled here, sent as libraries, run there. RPC
has neither passwords nor encryption: keep it inside a network you trust.

What is measured is TVM's code; untuned, that is many times slower than onnxruntime's.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import tvm
from tvm import rpc
from tvm.rpc import base
from tvm.runtime.vm import VirtualMachine

from flash.backends.tvm.build import TVM_ERRORS, failed, tvm_library
from flash.backends.tvm.machine import Machine
from flash.errors import FlashError, UsageError

__all__ = ["Tracker", "measure_tvm_rpc"]

_CONNECT_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.5


@dataclass(frozen=True)
class Tracker:
    """Where boards register. key: the kind of board; timeout_s: how long to wait for a free one."""

    host: str
    port: int
    key: str
    timeout_s: float = 60.0

    @classmethod
    def parse(cls, address: str, key: str, timeout_s: float = 60.0) -> Tracker:
        """A tracker at ``HOST:PORT``; raises ``UsageError`` for anything else."""
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"--tvm-rpc {address}: expected HOST:PORT")
        return cls(host.strip("[]"), int(port), key, timeout_s)

    def connect(self) -> Any:
        """A session with the tracker once a board of this kind is free.

        Raises ``UsageError`` where nothing answers at the address, where it is no tracker, and
        where no such board is registered or none becomes free in time.
        """
        place = f"{self.host}:{self.port}"
        self._check_magic(place)
        try:
            tracker = rpc.connect_tracker(self.host, self.port)
            self._wait(tracker, place)
        except (OSError, *TVM_ERRORS) as error:
            raise UsageError(f"--tvm-rpc {place}: {failed('no TVM tracker', error)}") from None
        return tracker

    def _check_magic(self, place: str) -> None:
        """Greet as TVM does, but not for longer than the timeout."""
        magic = int(base.RPC_TRACKER_MAGIC).to_bytes(4, "little")
        try:
            with socket.create_connection((self.host, self.port), _CONNECT_TIMEOUT_S) as link:
                link.settimeout(_CONNECT_TIMEOUT_S)
                link.sendall(magic)
                answer = link.recv(4)
        except TimeoutError:
            raise UsageError(
                f"--tvm-rpc {place}: no answer within {_CONNECT_TIMEOUT_S:g} s"
            ) from None
        except OSError as error:
            raise UsageError(
                f"--tvm-rpc {place}: {error.strerror or error}; is the tracker running "
                "(python -m tvm.exec.rpc_tracker)?"
            ) from None
        if answer != magic:
            raise UsageError(f"--tvm-rpc {place}: what answers is no TVM tracker")

    def _wait(self, tracker: Any, place: str) -> None:
        end = time.monotonic() + self.timeout_s
        while True:
            summary = tracker.summary()
            keys = {str(server["key"]).removeprefix("server:") for server in summary["server_info"]}
            if self.key not in keys:
                known = ", ".join(sorted(keys)) or "none"
                raise UsageError(
                    f"--tvm-rpc {place}: no board with key '{self.key}' (registered: {known})"
                )
            if summary["queue_info"].get(self.key, {}).get("free", 0) > 0:
                return
            if time.monotonic() > end:
                raise UsageError(
                    f"--tvm-rpc {place}: every board with key '{self.key}' was busy for "
                    f"{self.timeout_s:g} s"
                )
            time.sleep(_POLL_S)


def measure_tvm_rpc(
    models: Iterable[tuple[str, bytes]],
    tracker: Tracker,
    machine: Machine,
    *,
    runs: int = 30,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Measure ONNX models (name, content) on a board; yields a record each as it is done.

    machine: what the board is, for the compiler. runs: of each model, after one that does not
    count, on normal noise of ``seed``.

    A record is as ``flash.fit`` reads it: ``{"network": {"onnx": name}, "latency_ms":
    {"median", "p10", "p90", "runs"}}``. Raises as ``Tracker.connect``, and ``FlashError`` where
    the board fails.
    """
    tracker.connect()  # before the compiler's minutes
    board = None
    for name, content in models:
        library = tvm_library(content, machine)
        try:
            # One session for all: a board takes the next only when the last one is gone.
            board = board or tracker.connect().request(tracker.key)
            times_ms = _on_board(board, content, library, runs, seed)
        except (OSError, *TVM_ERRORS) as error:
            raise failed(f"{name}: the board '{tracker.key}' failed", error) from None
        yield {"network": {"onnx": name}, "latency_ms": _summary(times_ms)}


def _on_board(board: Any, content: bytes, library: bytes, runs: int, seed: int) -> list[float]:
    (source,) = onnx.load_model_from_string(content).graph.input
    shape = [dim.dim_value for dim in source.type.tensor_type.shape.dim]
    image = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    name = f"flash-{time.time_ns()}.so"
    board.upload(bytearray(library), name)
    try:
        device = board.cpu()
        machine = VirtualMachine(board.load_module(name), device)
        given = tvm.runtime.tensor(image, device)
        machine.set_input("main", given)
        machine.invoke_stateful("main")
        output = machine.get_outputs("main").numpy()
        if not np.isfinite(output).all():
            raise FlashError("the board gives numbers that are not finite")
        timer = machine.time_evaluator("invoke_stateful", device, number=1, repeat=runs)
        return [1e3 * float(seconds) for seconds in timer("main").results]
    finally:
        board.remove(name)


def _summary(times_ms: list[float]) -> dict[str, float]:
    p10, median, p90 = (float(x) for x in np.percentile(times_ms, (10, 50, 90)))
    return {"median": median, "p10": p10, "p90": p90, "runs": len(times_ms)}
