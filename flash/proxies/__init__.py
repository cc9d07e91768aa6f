"""Training-free scores that run the network at initialisation.

``score_network(network, ["naswot", "zico"], seed=0)`` returns a dictionary of scores. The
registry (``PROXIES``, ``AGGREGATES``) needs no PyTorch; scoring does (the extra ``torch``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flash.errors import UsageError
from flash.proxies.registry import AGGREGATES, PROXIES, Aggregate, Proxy, ingredients

if TYPE_CHECKING:
    from flash.proxies.scoring import ProxyScores, aggregate, log_rank, score_network

__all__ = [
    "AGGREGATES",
    "PROXIES",
    "Aggregate",
    "Proxy",
    "ProxyScores",
    "aggregate",
    "ingredients",
    "log_rank",
    "score_network",
]

_SCORING = ("ProxyScores", "aggregate", "log_rank", "score_network")


def __getattr__(name: str) -> Any:
    if name not in _SCORING:
        raise AttributeError(f"module 'flash.proxies' has no attribute '{name}'")
    try:
        return getattr(importlib.import_module("flash.proxies.scoring"), name)
    except ImportError as error:
        if (error.name or "").startswith("flash"):
            raise
        raise UsageError(
            f"this needs the package {error.name or 'torch'}: pip install 'flash-codesign[torch]'"
        ) from None
