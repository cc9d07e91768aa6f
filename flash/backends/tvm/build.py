"""ONNX models compiled by TVM into shared libraries, for this machine and for others.

Compiled code that nobody tuned was 17 to 40 times slower than onnxruntime on convolutions
(measured by us on x86): a library is for where TVM is the runtime, and never says how fast a
network is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm
import tvm_ffi
from numpy.typing import NDArray
from tvm import relax  # noqa: F401  (without it tvm.compile knows no relax modules)
from tvm.relax.frontend.onnx import from_onnx
from tvm.runtime.vm import VirtualMachine
from tvm.support import cc

from flash.backends.tvm.machine import Machine
from flash.errors import FlashError

__all__ = ["TVM_ERRORS", "failed", "run_tvm", "target_of", "time_tvm", "tvm_library", "tvm_version"]

#: Bytes on the disk while linking, over those of the model: objects and library hold its weights.
_ROOM = 4
#: What TVM raises; it has no base class of its own.
TVM_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError)


def tvm_version() -> str:
    """TVM's version and that of its foreign-function library, which have to fit."""
    return f"{tvm.__version__}, ffi {tvm_ffi.__version__}"


def tvm_library(
    content: bytes, machine: Machine, compiler: Callable[..., Any] = tvm.compile
) -> bytes:
    """An ONNX model as a shared library for ``machine``, its weights inside.

    compiler: of a module and, as ``target``, TVM's description of the machine.

    Raises ``UsageError`` where the linker for the machine is missing, ``FlashError`` where TVM
    cannot take the model or the target.
    """
    machine.check_linker()
    target = target_of(machine)
    what = "read the model"
    try:
        module = from_onnx(onnx.load_model_from_string(content), keep_params_in_input=False)
        what = f"compile for {machine.name}"
        executable = compiler(module, target=target)
        what = f"link for {machine.name}"
        return _linked(executable, machine, _ROOM * len(content))
    except TVM_ERRORS as error:
        raise failed(f"TVM cannot {what}", error) from None


def target_of(machine: Machine) -> Any:
    """TVM's description of a machine; ``FlashError`` for one it does not know."""
    facts: dict[str, Any] = {"kind": "llvm", "num-cores": machine.cores}
    if machine.is_host:
        facts["mcpu"] = tvm.target.codegen.llvm_get_system_cpu()
    else:
        facts |= {"mtriple": machine.mtriple, "mcpu": machine.mcpu}
    try:
        return tvm.target.Target(facts)
    except TVM_ERRORS as error:
        raise failed(f"TVM knows no such target as {facts}", error) from None


def run_tvm(library: bytes, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The output of a library for this machine."""
    output: NDArray[np.float32] = _loaded(library)["main"](tvm.runtime.tensor(image)).numpy()
    return output


def time_tvm(
    library: bytes, image: NDArray[np.float32], *, runs: int = 10, threads: int = 1
) -> list[float]:
    """Latencies in ms of a library for this machine, after a run that does not count."""
    # The first argument says which cores of a big-little processor: 1 is the big ones.
    tvm.get_global_func("runtime.config_threadpool")(1, threads)
    machine, given = _loaded(library), tvm.runtime.tensor(image)
    machine["main"](given)
    found = machine.time_evaluator("main", tvm.cpu(), number=1, repeat=runs)(given)
    return [1e3 * float(seconds) for seconds in found.results]


def failed(what: str, error: Exception) -> FlashError:
    """TVM's own message can be pages of trace; its last line says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return FlashError(f"{what}: {lines[-1][:300] if lines else type(error).__name__}")


def _linked(executable: Any, machine: Machine, room: int) -> bytes:
    """The library's bytes; ``room``: those its parts take on the disk meanwhile, at most."""
    with tempfile.TemporaryDirectory(prefix="flash-tvm-") as folder:
        # LLVM ends the whole process where a disk is full, without a word to its caller.
        if shutil.disk_usage(folder).free < room:
            raise FlashError(
                f"linking needs {room / 1e6:.0f} MB in {Path(folder).parent}, which has less: make "
                "room, or set TMPDIR"
            )
        path = Path(folder) / "library.so"
        # -s: the table of local symbols holds names of temporary files.
        link = cc.cross_compiler(machine.linker, options=["-s"])
        executable.export_library(str(path), fcompile=link)
        return path.read_bytes()


def _loaded(library: bytes) -> VirtualMachine:
    with tempfile.TemporaryDirectory(prefix="flash-tvm-") as folder:
        path = Path(folder) / "library.so"
        path.write_bytes(library)
        # It stays mapped once loaded: the file may go.
        return VirtualMachine(tvm.runtime.load_module(str(path)), tvm.cpu())
