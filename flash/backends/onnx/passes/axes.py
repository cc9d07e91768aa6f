"""Give every input of a model definite sizes.

Requires: declared inputs. Ensures: ``graph.values`` holds the shape of each; an input without
axes that is given a number, such as a sampling rate, is a constant, and so is an input without
elements. What is given of other names is what the user says of tensors (``graph.stated``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from flash.backends.onnx.ir.graph import FLOATS, Constant, Graph, Value
from flash.errors import InputError, UsageError

__all__ = ["bind_axes", "choices"]

_MOST_ELEMENTS: Final = 2**31
#: Types of inputs that choose what a model does rather than being what it works on.
_CHOICES: Final = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)


def bind_axes(
    graph: Graph,
    input_shape: Sequence[int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Bind dynamic axes: a batch axis that nobody gives is 1, any other must be given.

    input_shape: sizes of the only input.
    inputs:      sizes by name of the input. An axis of one name has one size everywhere. Of an
                 input without axes, its value.

    Raises ``UsageError`` for sizes that contradict the model, ``InputError`` for an axis
    without a size.
    """
    graph.stated |= {n: tuple(v) for n, v in (inputs or {}).items() if n not in graph.inputs}
    given = {name: values for name, values in (inputs or {}).items() if name in graph.inputs}
    option = dict.fromkeys(given, "--input")
    if input_shape is not None:
        if len(graph.inputs) != 1:
            names = ", ".join(graph.inputs)
            raise UsageError(
                f"--input-shape is for models of one input; {graph.path} has "
                f"{len(graph.inputs)} ({names}): give --input NAME=1x3x224x224 for each"
            )
        (only,) = graph.inputs
        given.setdefault(only, tuple(input_shape))
        option.setdefault(only, "--input-shape")
    if not graph.inputs:
        raise InputError(f"{graph.path}: it has no input")
    wanted = _sizes(graph, given, option)
    by_axis_name = _named_sizes(graph, wanted)
    _refuse_free(graph, wanted, by_axis_name)
    for name, (dims, elem_type) in graph.inputs.items():
        sizes = wanted.get(name)
        if sizes is not None and (min(sizes) < 0 or (0 in sizes and len(graph.inputs) == 1)):
            raise UsageError(f"{option[name]} {name}: sizes are 1 and more")
        if sizes is not None and len(sizes) != len(dims):
            raise UsageError(
                f"{option[name]} has {len(sizes)} sizes; input '{name}' of {graph.path} has "
                f"{len(dims)}"
            )
        bound = tuple(
            _bound(graph, name, axis, sizes, by_axis_name, option.get(name, ""))
            for axis in range(len(dims))
        )
        value = Value(bound, elem_type)
        if value.size > _MOST_ELEMENTS:
            raise InputError(
                f"{graph.path}: input '{name}' has {value.size:.3g} elements; the limit is "
                f"{_MOST_ELEMENTS:.3g}"
            )
        if value.size:
            graph.values[name] = value
        else:  # such as a cache of the past before the first word
            empty = np.zeros(bound, helper.tensor_dtype_to_np_dtype(elem_type))
            graph.constants[name] = Constant(bound, elem_type, empty)
        fixed = graph.inputs[name][0]
        if any(size not in (None, given) for size, given in zip(fixed, bound, strict=True)):
            graph.declared.clear()  # what the file says of its tensors holds for its own sizes
    if not graph.values:
        raise UsageError(f"{graph.path}: no input has an element")


def _sizes(
    graph: Graph, given: Mapping[str, Sequence[float]], option: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    """The sizes among what is given; makes constants of the inputs without axes that have a value.

    Raises ``UsageError`` for a number that an input cannot be, or that is no size.
    """
    wanted: dict[str, tuple[int, ...]] = {}
    for name, values in given.items():
        dims, elem_type = graph.inputs[name]
        if not dims and len(values) == 1:
            value = _as_type(values[0], elem_type)
            if value is None:
                kind = helper.tensor_dtype_to_string(elem_type).removeprefix("TensorProto.").lower()
                raise UsageError(
                    f"{option[name]} {name}: {values[0]} is no {kind}, which the input is"
                )
            graph.constants[name] = Constant((), elem_type, value)
        elif all(value == int(value) for value in values):
            wanted[name] = tuple(int(value) for value in values)
        else:
            raise UsageError(f"{option[name]} {name}: sizes are whole numbers")
    return wanted


def _as_type(number: float, elem_type: int) -> NDArray[Any] | None:
    """A number as an element of a tensor; None where none is that number."""
    if elem_type == TensorProto.STRING:
        return None
    kind = helper.tensor_dtype_to_np_dtype(elem_type)
    try:
        value = np.array(number).astype(kind)
    except (OverflowError, ValueError):
        return None
    exact = elem_type in FLOATS or bool(value == number)
    return value if exact and np.isfinite(value.astype(np.float64)) else None


def _named_sizes(graph: Graph, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, sizes in wanted.items():
        for axis_name, size in zip(graph.axis_names[name], sizes, strict=False):
            if axis_name:
                found.setdefault(axis_name, size)
    return found


def _bound(
    graph: Graph,
    name: str,
    axis: int,
    sizes: Sequence[int] | None,
    by_axis_name: Mapping[str, int],
    option: str,
) -> int:
    fixed, axis_name = graph.inputs[name][0][axis], graph.axis_names[name][axis]
    wanted = by_axis_name.get(axis_name) if sizes is None else sizes[axis]
    if fixed is not None:
        # A batch written into the file may be another: what depends on it is checked later.
        if wanted in (None, fixed) or axis == 0:
            return fixed if wanted is None else wanted
        raise UsageError(
            f"{option} gives axis {axis} of input '{name}' {wanted}; in {graph.path} it is "
            f"fixed at {fixed}"
        )
    # A free batch that nobody gives is 1; any other free axis was refused (``_refuse_free``).
    return 1 if wanted is None else wanted


def _refuse_free(
    graph: Graph, wanted: Mapping[str, tuple[int, ...]], by_axis_name: Mapping[str, int]
) -> None:
    """Raise ``InputError`` where axes have no size, naming all inputs of which some have none."""
    free: dict[str, int] = {}
    known = set(by_axis_name)
    for name, (dims, _) in graph.inputs.items():
        names = graph.axis_names[name]
        open_axes = [k for k, size in enumerate(dims) if k and size is None]
        open_axes = [k for k in open_axes if not names[k] or names[k] not in known]
        if open_axes and name not in wanted:
            free[name] = open_axes[0]
            known |= set(names)
    if not free:
        return
    first, axis = next(iter(free.items()))
    axis_name = graph.axis_names[first][axis]
    named = f" ('{axis_name}')" if axis_name else ""
    others = "".join(f", one of '{name}' too" for name in [*free][1:])
    how = f"--input {_example(graph, first)}"
    if len(graph.inputs) > 1:
        how = " ".join(f"--input {name}={_example(graph, name)}" for name in free)
        if values := choices(graph):
            how += f"; and, if its value decides what is run, {values}"
    raise InputError(
        f"{graph.path}: axis {axis}{named} of input '{first}' is dynamic{others}; give "
        f"{'its size' if len(free) == 1 else 'their sizes'}, e.g. {how}"
    )


def choices(graph: Graph) -> str:
    """The option for each whole number without axes among the inputs, which has no value yet."""
    return " ".join(
        f"--input {name}={1 if kind == TensorProto.BOOL else 16000}"
        for name, (dims, kind) in graph.inputs.items()
        if not dims and kind in _CHOICES and name not in graph.constants
    )


def _example(graph: Graph, name: str) -> str:
    """Sizes that an input may have: what it states, and for what is free those of an image of four
    axes; of others 1 for a batch (first, or second where the first is stated: the layers of a
    recurrent state) and 128."""
    dims = graph.inputs[name][0]
    batch = 1 if len(dims) == 3 and dims[0] is not None and dims[2] is not None else 0
    usual = (1, 3, 224, 224) if len(dims) == 4 else (1 if k == batch else 128 for k in count())
    return "x".join(str(u if d is None else d) for d, u in zip(dims, usual, strict=False))
