"""Files of tensors by name (``.pt``), without running what is in them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flash.backends.torch.module import torch_network
from flash.backends.weights import Weights
from flash.errors import InputError
from flash.spaces.network import Network

__all__ = ["read_state", "run_torch", "state_file", "torch_version"]


def state_file(weights: Weights) -> bytes:
    """A ``.pt`` file of tensors by the names of ``flash.backends.weights``."""
    stream = io.BytesIO()
    torch.save({name: torch.from_numpy(values) for name, values in weights.items()}, stream)
    return stream.getvalue()


def read_state(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    """The arrays in a ``.pt`` file of tensors by name; ``InputError`` for anything else."""
    try:
        # Tensors and plain containers only: no code of the file's runs. (pickle is imported for
        # the name of the error alone.)
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return {str(name): tensor.detach().float().numpy() for name, tensor in state.items()}
    except (RuntimeError, ValueError, AttributeError, EOFError, pickle.UnpicklingError):
        raise InputError(f"{path}: no PyTorch file of tensors by name") from None


def run_torch(
    network: Network, weights: Weights, image: NDArray[np.float32]
) -> tuple[NDArray[np.float32], ...]:
    """The network's outputs for a batch of images, as PyTorch computes them."""
    module = torch_network(network, weights).eval()
    with torch.no_grad():
        found = module(torch.from_numpy(image))
    return tuple(x.numpy() for x in (found if isinstance(found, tuple) else (found,)))


def torch_version() -> str:
    """PyTorch's version, as it tells it."""
    return str(torch.__version__)
