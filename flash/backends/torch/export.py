"""A torch module as an ONNX model, by PyTorch's own exporter."""

from __future__ import annotations

import importlib.util
import io
import warnings
from typing import Any

import onnx
import torch

from flash.errors import InputError

__all__ = ["module_model"]


def module_model(module: torch.nn.Module, example_input: Any) -> onnx.ModelProto:
    """The module as a model, in evaluation mode; the module itself is left as it was.

    example_input: a tensor, or a tuple of them, of the shapes to price.

    Uses the exporter that traces by ``torch.export`` where its package onnxscript is installed,
    the older one elsewhere. Raises ``InputError`` for a module that PyTorch cannot export.
    """
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    training = module.training
    module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            if importlib.util.find_spec("onnxscript") is not None:
                program = torch.onnx.export(module, inputs, dynamo=True, verbose=False)
                return _proto(program)
            stream = io.BytesIO()
            torch.onnx.export(module, inputs, stream, dynamo=False)  # type: ignore[arg-type]
            return onnx.load_model_from_string(stream.getvalue())
    # The exporters raise errors of many libraries; what they say is for the user.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        name = type(module).__name__
        raise InputError(f"{name}: PyTorch cannot export it: {reason}") from None
    finally:
        module.train(training)


def _proto(program: Any) -> onnx.ModelProto:
    model: onnx.ModelProto = program.model_proto
    return model
