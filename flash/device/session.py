"""onnxruntime: a session of a network, made-up inputs, the runtime's own times of kernels."""

from __future__ import annotations

import difflib
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
    session: Any, batch: int, shapes: dict[str, list[Any]] | None = None
) -> dict[str, Any]:
    """Random inputs of the shapes that the model states.

    shapes: of inputs by name, where the model leaves sizes free; the name may be empty for a
            model's only input. An axis of one name has one size everywhere; a first axis that
            stays free is the batch. Of an input without axes, its value.
    """
    numpy = Libraries.numpy
    inputs, rng = {}, numpy.random.RandomState(0)
    given = session.get_inputs()
    wanted = _wanted(given, shapes or {}, batch)
    values = {one.name: wanted.pop(one.name) for one in given if _is_choice(one, wanted)}
    bound = _shapes(given, batch, wanted)
    for one in given:
        shape = bound[one.name]
        elements = 1
        for size in shape:
            elements *= size
        if elements > MOST_ELEMENTS:
            raise RuntimeError(
                f"input '{one.name}' has {elements} elements, more than {MOST_ELEMENTS}"
            )
        if one.type not in _DTYPES:
            raise RuntimeError(f"input '{one.name}' is a {one.type}: not supported")
        dtype = _DTYPES[one.type]
        if dtype == "object":
            inputs[one.name] = numpy.full(shape, "a", dtype=object)
            continue
        if one.name in values:
            inputs[one.name] = numpy.array(values[one.name][0], dtype=dtype)
            continue
        numbers = numpy.asarray(rng.standard_normal(shape) if shape else rng.standard_normal())
        if "float" not in dtype:
            numbers = numpy.abs(numbers) > 1.0  # zeros and ones: valid as index, mask and pixel
        inputs[one.name] = numpy.asarray(numbers, dtype=dtype)
    return inputs


def _wanted(given: Any, shapes: dict[str, list[Any]], batch: int) -> dict[str, list[int]]:
    """The shapes that the user gives, by name, held against what the model states."""
    wanted = dict(shapes)
    if "" in wanted and len(given) == 1:
        wanted[given[0].name] = wanted.pop("")
    names = [one.name for one in given]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1, cutoff=0.5)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise RuntimeError(f"has no input '{unknown[0]}': its inputs are {', '.join(names)}{hint}")
    for one in given:
        sizes, stated = wanted.get(one.name), list(one.shape)
        if sizes is not None and _is_choice(one, wanted):
            if "float" not in one.type and "double" not in one.type and sizes[0] != int(sizes[0]):
                raise RuntimeError(f"input '{one.name}' is a {one.type}, not {sizes[0]}")
            continue
        if sizes is None:
            continue
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise RuntimeError(f"input '{one.name}' is {_text(stated)}: its sizes are 1 and more")
        agrees = len(sizes) == len(stated) and all(
            not isinstance(size, int) or size == new for size, new in zip(stated, sizes)
        )
        if not agrees:
            raise RuntimeError(f"input '{one.name}' is {_text(stated)}, not {_text(sizes)}")
        if len(stated) > 1 and not isinstance(stated[0], int) and batch not in (1, sizes[0]):
            raise RuntimeError(
                f"input '{one.name}' is {_text(stated)}: its first size is the batch, which is "
                f"{batch}: --batch {sizes[0]}"
            )
    return wanted


def _is_choice(one: Any, wanted: dict[str, list[Any]]) -> bool:
    """Whether an input is a number, without axes, whose value is given."""
    number = _DTYPES.get(one.type, "object") != "object"
    return number and not one.shape and len(wanted.get(one.name, ())) == 1


def _shapes(given: Any, batch: int, wanted: dict[str, list[Any]]) -> dict[str, list[int]]:
    """The shape of each input by name: what the model states, its free sizes as wanted.

    Raises ``RuntimeError`` where some stay free, with all that is missing.
    """
    by_axis: dict[str, int] = {}  # onnxruntime gives a free size by its name, or None
    for one in given:
        for size, new in zip(one.shape, wanted.get(one.name, ())):
            if isinstance(size, str):
                by_axis.setdefault(size, new)
    found: dict[str, list[Any]] = {}
    free = []
    for one in given:
        shape: list[Any] = [by_axis.get(size, size) for size in one.shape]
        shape = list(wanted.get(one.name, shape))
        if shape and not isinstance(shape[0], int):
            shape[0] = batch
        found[one.name] = shape
        if not all(isinstance(size, int) and size >= 0 for size in shape):
            free.append(one)
    if free:
        stated = ", ".join(f"'{one.name}' is {_text(list(one.shape))}" for one in free)
        said = " ".join(
            f"--input {one.name}="
            + "x".join(str(n) if isinstance(n, int) else "64" for n in found[one.name])
            for one in free
        )
        raise RuntimeError(f"input {stated}: say {'its' if len(free) == 1 else 'their'} free "
                           f"sizes, {said}")  # fmt: skip
    return found


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
