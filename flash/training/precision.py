"""Half precision where the hardware computes in it: products in bf16 (or fp16), sums in fp32."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

__all__ = ["autocast", "computes_bf16", "halves", "processor"]

#: Names that Linux gives to bf16 products: x86 AVX-512 and AMX, Arm.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


@functools.cache
def processor() -> dict[str, str]:
    """What Linux says of the first processor; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def computes_bf16() -> bool:
    """Whether the CPU multiplies in bf16; where it does not, bf16 is emulated and slower."""
    flags = {*processor().get("flags", "").split(), *processor().get("Features", "").split()}
    return bool(flags & _BF16_FLAGS)


def halves(module: torch.nn.Module, device: torch.device) -> bool:
    """Whether training a network takes less time in half precision.

    On CPUs that compute in bf16 it does, but for networks with convolutions in groups, whose
    gradients take longer: MobileNets of half the width train 1.3 to 1.9 times faster in fp32, those
    of the published width as fast over the sides of recipe ``quick`` (measured on one EPYC).
    """
    if device.type != "cpu":
        return True
    grouped = any(isinstance(m, torch.nn.Conv2d) and m.groups > 1 for m in module.modules())
    return computes_bf16() and not grouped


def autocast(device: torch.device, *, half: bool = True) -> AbstractContextManager[Any]:
    """Half precision inside, where the device computes in it and ``half`` says so."""
    if not half or (device.type == "cpu" and not computes_bf16()):
        return nullcontext()
    dtype = torch.bfloat16
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        dtype = torch.float16
    return torch.autocast(device.type, dtype=dtype)
