"""A proxy as it is declared: no PyTorch is needed to list it."""

from __future__ import annotations

from flash.proxies.registry import Proxy

__all__ = ["OUTPUT_SPREAD"]

OUTPUT_SPREAD = Proxy(
    "output_spread", "flash_example.proxy:output_spread", "forward", 16,
    "an example: how far apart a random network puts different images",
)  # fmt: skip
