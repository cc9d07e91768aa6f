"""The design as a shared library that TVM compiled, with a script that runs it."""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flash.backends.tvm.machine import HOST
from flash.errors import FlashError, UsageError
from flash.export.exporter import Exporter
from flash.export.order import Build, Order
from flash.files.arrays import read_arrays
from flash.files.scratch import scratch_folder
from flash.targets.machine import machine_of

__all__ = ["TVM", "tvm_build"]

#: Largest difference of TVM's output to onnxruntime's, over the largest output (at least 1).
_TOLERANCE: Final = 1e-3
#: Seconds the target's Python may take: emulated, it takes a minute or two to import TVM.
_TIMEOUT_S: Final = 900
_RUNS: Final = 5
_NEEDS: Final = "pip install apache-tvm==0.27.0.post1 apache-tvm-ffi==0.1.14.post0 numpy"


def tvm_build(order: Order) -> Build:
    """``STEM-MACHINE.so`` and ``run.py``, which runs it.

    The model compiled for this machine must agree with onnxruntime (for another machine it is
    compiled twice); where a command runs the target's Python, so must the library itself.

    Raises ``UsageError`` without a machine or a linker for it, ``FlashError`` where TVM fails or
    outputs differ.
    """
    from flash.backends import (  # noqa: PLC0415 (extras)
        run_onnx,
        tuned_library,
        tvm_library,
        tvm_version,
    )

    machine = order.machine
    if machine is None:
        raise UsageError(f"format tvm: say what to compile for, {HOST} or a profile")
    machine.check_linker()
    command = _command(order.run_with)
    image = np.random.default_rng(order.seed).standard_normal((1, *order.shape), dtype=np.float32)
    outputs = run_onnx(order.content, {"input": image})
    if len(outputs) > 1:
        raise UsageError(f"the format tvm takes networks of one output; this has {len(outputs)}")
    (want,) = outputs.values()
    if order.tuning:
        library = tuned_library(order.content, machine, order.tuning)
    else:
        library = tvm_library(order.content, machine)
    here = library if machine.is_host else tvm_library(order.content, machine_of(HOST))
    verified = [_on_this_machine(here, image, want)]
    if command:
        verified.append(_on_the_target(library, command, image, want))
    file = f"{order.stem}-{machine.name}.so"
    entry = {
        **order.signature,
        "machine": machine.to_dict(),
        "linker": machine.linker,
        "tvm": tvm_version(),
        "run": f"python3 run.py {file} {'x'.join(map(str, image.shape))}",
        "needs": _NEEDS,
        "tuned_trials": order.tuning.done if order.tuning else 0,
        "measured_here": _measured(order, library, image) if machine.is_host else None,
        "verified": verified,
    }
    return Build({file: library, "run.py": _runner()}, entry)


def _on_this_machine(library: bytes, image: NDArray[np.float32], want: NDArray[np.float32]) -> str:
    from flash.backends import run_tvm  # noqa: PLC0415 (an extra)

    error = _difference(run_tvm(library, image), want, "TVM's build for this machine")
    return f"built for this machine against onnxruntime: difference {error:.1e}"


def _command(run_with: str) -> list[str]:
    """The command in words; ``UsageError`` for a program that is not there."""
    try:
        words = shlex.split(run_with)
    except ValueError as error:
        raise UsageError(f"--verify-with {run_with}: {error}") from None
    if words and shutil.which(words[0]) is None:
        raise UsageError(f"--verify-with: no program {words[0]}")
    return words


def _on_the_target(
    library: bytes, command: list[str], image: NDArray[np.float32], want: NDArray[np.float32]
) -> str:
    """Run ``run.py`` on the library by the command that starts the target's Python."""
    with scratch_folder("tvm") as place:
        (place / "run.py").write_bytes(_runner())
        (place / "model.so").write_bytes(library)
        np.save(place / "input.npy", image)
        files = [str(place / name) for name in ("run.py", "model.so", "input.npy", "output.npy")]
        try:
            done = subprocess.run(
                [*command, *files], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except OSError as error:
            raise UsageError(f"--verify-with {command[0]}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise FlashError(f"--verify-with: no output within {_TIMEOUT_S} s") from None
        if done.returncode != 0 or not (place / "output.npy").exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise FlashError(f"--verify-with: exit code {done.returncode}: {last}")
        got = read_arrays(place / "output.npy")[""]
    apart = _difference(got, want, "the library on its target")
    return f"run by {Path(command[0]).name} against onnxruntime here: difference {apart:.1e}"


def _difference(got: NDArray[Any], want: NDArray[np.float32], what: str) -> float:
    """Largest difference over the largest output; raises ``FlashError`` beyond the tolerance."""
    if got.shape != want.shape:
        raise FlashError(f"{what} gives {got.shape}, not {want.shape}")
    error = float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))
    if not error <= _TOLERANCE:
        raise FlashError(f"{what} differs from onnxruntime by {error:.3g}")
    return error


def _measured(order: Order, library: bytes, image: NDArray[np.float32]) -> dict[str, Any]:
    """Time of the library and of onnxruntime on this machine, one thread each."""
    from flash.backends import time_onnx, time_tvm  # noqa: PLC0415 (extras)

    (onnxruntime_ms,) = time_onnx([order.content], {"input": image}, seconds=1.0)
    tvm_ms = float(np.median(time_tvm(library, image, runs=_RUNS)))
    return {
        "runtime": f"1 thread, {platform.machine()}",
        "onnxruntime_ms": round(onnxruntime_ms, 4),
        "tvm_ms": round(tvm_ms, 4),
        "latency_ratio": round(tvm_ms / onnxruntime_ms, 4),
    }


def _runner() -> bytes:
    """The text of the script that runs a library."""
    # Its imports would make TVM load without its compiler here: it is read, not imported.
    return (Path(__file__).parents[1] / "runtimes" / "tvm_run.py").read_bytes()


def _describe(entry: Mapping[str, Any]) -> list[str]:
    words = [f"for {entry['machine']['name']}", *entry["verified"]]
    here = entry["measured_here"]
    if not here:
        return [*words, "untuned; not measured on its target"]
    trials = entry["tuned_trials"]
    return [
        *words,
        f"{f'tuned, {trials} trials' if trials else 'untuned'}: "
        f"x{here['latency_ratio']:.3g} the latency of onnxruntime, measured here "
        f"({here['onnxruntime_ms']:.3g} -> {here['tvm_ms']:.3g} ms, {here['runtime']})",
    ]


TVM = Exporter(tvm_build, _describe, compiles=True, runs_in="TVM")
