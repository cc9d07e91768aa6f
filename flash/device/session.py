"""onnxruntime: a session of a network, made-up inputs, the runtime's own times of kernels."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from flash.device.libraries import Libraries
from flash.device.suite import MOST_ELEMENTS, Task
from flash.device.timing import rounded

#: Runs that onnxruntime's profiler sees.
PROFILED_RUNS = 10
#: numpy's name of each type that inputs can have.
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(uint32)": "uint32",
    "tensor(int32)": "int32",
    "tensor(uint64)": "uint64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


class Settings(NamedTuple):
    """How networks are run: ``hold_s`` seconds for sensors, ``pause_s`` before and after."""

    threads: int
    provider: str
    batch: int
    kernels: bool
    hold_s: float
    pause_s: float


def open_session(task: Task, folder: str, settings: Settings, trace: bool) -> Any:
    """An onnxruntime session of a task's model."""
    onnxruntime = Libraries.onnxruntime
    path = task.path
    if not path:
        path = os.path.join(folder, "model.onnx")  # beside the weights it points into
        for name, content in {"model.onnx": task.content, **task.beside}.items():
            with open(os.path.join(folder, name), "wb") as stream:
                stream.write(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if trace:
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "trace")
    providers = ["CPUExecutionProvider"]
    if settings.provider == "cuda":
        providers.insert(0, "CUDAExecutionProvider")
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    if session.get_providers()[0] != providers[0]:
        raise RuntimeError(f"{providers[0]} did not start; see onnxruntime's log above")
    return session


def make_inputs(
    session: Any, batch: int, shapes: dict[str, list[int]] | None = None
) -> dict[str, Any]:
    """Random inputs of the shapes that the model states.

    shapes: of inputs by name, where the model leaves sizes free; the name may be empty for a
            model's only input. A first axis that stays free is the batch.
    """
    numpy = Libraries.numpy
    inputs, rng = {}, numpy.random.RandomState(0)
    given = session.get_inputs()
    wanted = dict(shapes or {})
    if "" in wanted and len(given) == 1:
        wanted[given[0].name] = wanted.pop("")
    unknown = sorted(set(wanted) - {one.name for one in given})
    if unknown:
        names = ", ".join(one.name for one in given)
        raise RuntimeError(f"has no input '{unknown[0]}': its inputs are {names}")
    for one in given:
        shape = _shape(one.name, list(one.shape), batch, wanted.get(one.name))
        if one.type not in _DTYPES:
            raise RuntimeError(f"input '{one.name}' is a {one.type}: not supported")
        dtype = _DTYPES[one.type]
        values = numpy.asarray(rng.standard_normal(shape) if shape else rng.standard_normal())
        if dtype == "object":
            inputs[one.name] = numpy.full(shape, "a", dtype=object)
            continue
        if "float" not in dtype:
            values = numpy.abs(values) > 1.0  # zeros and ones: valid as index, mask and pixel
        inputs[one.name] = values.astype(dtype)
    return inputs


def _shape(name: str, stated: list[Any], batch: int, wanted: list[int] | None) -> list[int]:
    """The shape of an input: what the model states, with its free sizes as wanted."""
    shape = list(stated)
    if wanted is not None:
        fixed = [isinstance(size, int) for size in stated]
        agrees = len(wanted) == len(stated) and all(
            size == new for size, new, is_fixed in zip(stated, wanted, fixed) if is_fixed
        )
        if not agrees:
            raise RuntimeError(f"input '{name}' is {_text(stated)}, not {_text(wanted)}")
        if len(shape) > 1 and not fixed[0] and wanted[0] != batch:
            raise RuntimeError(
                f"input '{name}' is {_text(stated)}: its first size is the batch, which is "
                f"{batch}: --batch {wanted[0]}"
            )
        shape = list(wanted)
    if shape and not isinstance(shape[0], int):
        shape[0] = batch
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise RuntimeError(
            f"input '{name}' is {_text(stated)}: say its free sizes, --input {name}="
            f"{'x'.join(str(n) if isinstance(n, int) else '64' for n in shape)}"
        )
    elements = 1
    for size in shape:
        elements *= size
    if elements > MOST_ELEMENTS:
        raise RuntimeError(f"input '{name}' has {elements} elements, more than {MOST_ELEMENTS}")
    return shape


def _text(shape: list[Any]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape) or "a scalar"


def kernel_times(path: str) -> list[dict[str, Any]]:
    """Mean time of each kernel from onnxruntime's trace, in the order they ran.

    The slowest and fastest quarter of the runs are left out (whoever else used the processor).
    """
    with open(path, encoding="utf-8") as stream:
        events = json.load(stream)
    found: dict[str, tuple[str, list[float]]] = {}
    for event in events:
        if event.get("cat") != "Node" or not event.get("name", "").endswith("_kernel_time"):
            continue
        name = event["name"][: -len("_kernel_time")]
        op = str(event.get("args", {}).get("op_name", ""))
        found.setdefault(name, (op, []))[1].append(float(event["dur"]))
    kernels = []
    for name, (op, micros) in found.items():
        ordered = sorted(micros)
        cut = len(ordered) // 4
        middle = ordered[cut : len(ordered) - cut]
        kernels.append({"name": name, "op": op, "ms": rounded(1e-3 * sum(middle) / len(middle), 4)})
    return kernels
