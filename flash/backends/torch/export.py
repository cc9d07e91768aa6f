"""A torch module as an ONNX model, by PyTorch's own exporters."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import onnx
import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from flash.backends.torch.reads import Reads
from flash.errors import InputError, UsageError

__all__ = ["module_model"]


def module_model(
    module: torch.nn.Module, example_input: Any, tell: Callable[[str], None] = lambda _: None
) -> onnx.ModelProto:
    """The module as a model, in evaluation mode; the module itself is left as it was.

    example_input: a tensor, or a tuple of them, of the shapes to price; a dictionary, alone or
                   last in the tuple, holds those given by name.
    tell:          takes notes on what the model rests on.

    Uses the exporter that traces by ``torch.export`` where its package onnxscript is installed,
    and the older one where it is not or where that one fails: a graph of ``torch.export`` holds
    for any input, that of the older one for the branches that the example takes, which a note
    says. Raises ``InputError`` for a module that neither can export, ``UsageError`` for what is
    none.
    """
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"expected a torch module, got {_what(module)}")
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    newer = importlib.util.find_spec("onnxscript") is not None
    with _evaluated(module), _silence(), torch.no_grad():
        if newer:
            try:
                return _by_export(module, inputs)
            # What it cannot express, the older one may.
            except Exception:  # noqa: S110
                pass
        try:
            return _by_trace(module, inputs, tell)
        # The exporters raise errors of many libraries; what they say is for the user.
        except Exception as error:
            reason = _reason(error, newer)
    raise InputError(f"{type(module).__name__}: PyTorch cannot export it: {reason}")


def _what(given: Any) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}; make one of it: {given.__name__}(...)"
    return f"a {type(given).__name__}"


def _reason(error: Exception, newer: bool) -> str:
    """What went wrong, in one line."""
    reason = " ".join(str(error).partition("[Caused by")[0].split())[:200]
    if isinstance(error, torch.onnx.errors.OnnxExporterError) and not newer:
        reason += " (PyTorch's newer exporter may be able to: pip install onnxscript)"
    return reason


def _by_export(module: torch.nn.Module, inputs: tuple[Any, ...]) -> onnx.ModelProto:
    program: Any = torch.onnx.export(module, inputs, dynamo=True, verbose=False, optimize=False)
    graph = program.model.graph
    names = {name for name, _ in module.named_parameters()}
    # Where it knows their values, it shares short parameters of one value, as new layers have them,
    # and leaves out biases of zero. What a batch norm becomes part of has to be known.
    hidden = {
        value: value.const_value
        for name, value in graph.initializers.items()
        if name in names and not any(_is_normed(node) for node, _ in value.uses())
    }
    for value in hidden:
        value.const_value = None
    program.optimize()
    for value, content in hidden.items():
        value.const_value = content
    model: onnx.ModelProto = program.model_proto
    return model


def _is_normed(node: Any) -> bool:
    """Whether a node is a batch norm, or what one reads."""
    readers = [reader for made in node.outputs for reader, _ in made.uses()]
    return any(x.op_type == "BatchNormalization" for x in (node, *readers))


def _by_trace(
    module: torch.nn.Module, inputs: tuple[Any, ...], tell: Callable[[str], None]
) -> onnx.ModelProto:
    if isinstance(module, torch.jit.ScriptModule):  # its branches are in its graph
        return _traced(module, inputs)
    by_name = bool(inputs) and isinstance(inputs[-1], dict)
    args, kwargs = (inputs[:-1], inputs[-1]) if by_name else (inputs, {})
    with Reads(_tensors((args, kwargs))) as reads:  # in a run of its own: it would hide from traces
        module(*args, **kwargs)
    with _of_tensors_alone(module, args, kwargs) as tensors:
        model = _traced(module, tensors)
    if note := reads.note():
        tell(note)
    return model


def _tensors(values: Any) -> tuple[torch.Tensor, ...]:
    return tuple(x for x in tree_leaves(values) if isinstance(x, torch.Tensor))


def _traced(module: torch.nn.Module, inputs: tuple[Any, ...]) -> onnx.ModelProto:
    stream: Any = io.BytesIO()
    # Parameters of one value, as new layers have them, would become a single one if not inputs.
    torch.onnx.export(module, inputs, stream, dynamo=False, keep_initializers_as_inputs=True)
    model = onnx.load_model_from_string(stream.getvalue())
    weights = {tensor.name for tensor in model.graph.initializer}
    given = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(given)
    return model


@contextmanager
def _of_tensors_alone(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[torch.Tensor, ...]]:
    """While it lasts, ``forward`` takes the arguments' tensors alone, which it yields.

    The exporter makes a tensor of every argument, defaults included: a flag that Python code or
    an operator reads would be none any more.
    """
    leaves, structure = tree_flatten((args, kwargs))
    places = [place for place, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
    own, shadowed = module.forward, module.__dict__.get("forward")

    def forward(*tensors: torch.Tensor) -> Any:
        for place, tensor in zip(places, tensors, strict=True):
            leaves[place] = tensor
        given, named = tree_unflatten(leaves, structure)
        return own(*given, **named)

    module.__dict__["forward"] = forward
    try:
        yield tuple(leaves[place] for place in places)
    finally:
        module.__dict__.pop("forward")
        if shadowed is not None:
            module.__dict__["forward"] = shadowed


@contextmanager
def _evaluated(module: torch.nn.Module) -> Iterator[None]:
    """In evaluation mode, attention as the operators that it is made of.

    PyTorch's fast path, one operator an attention or encoder layer, exists in no other runtime.
    """
    training = [(part, part.training) for part in module.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, was in training:
            part.training = was


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing of what the exporters print: C++ code prints graphs, past Python's streams."""
    with (
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
        _closed(1),
        _closed(2),
    ):
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable()
        try:
            yield
        finally:
            logging.disable(level)


@contextmanager
def _closed(descriptor: int) -> Iterator[None]:
    """What is written to this descriptor goes nowhere."""
    try:
        kept = os.dup(descriptor)
    except OSError:  # there is none
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
