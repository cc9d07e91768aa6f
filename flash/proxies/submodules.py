"""Weight statistics of an encoder by sub-module, after ZeroLM (arXiv 2503.18646).

The source reads no data: it takes a statistic of the weights of each kind of sub-module, attention
and feed-forward, and balances the two. Its formula was not to be read; ours is

    score = (1 - b) log(sum |w| over attention) + b log(sum |w| over feed-forward)

with b = 0.75, chosen on one half of FlexiBERT's encoders (``scripts/validate/systems.py``, part
encoders, prints the other half). At initialisation by one deviation, sum |w| counts weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from torch import nn

from flash.proxies.probe import NoScore

__all__ = ["BALANCE", "encoder_score", "encoder_weights", "submodule_score"]

#: Weight of the feed-forward part.
BALANCE = 0.75
#: Words in the name of a weight: PyTorch's encoders, Hugging Face's BERT, timm's transformers.
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_FEED_FORWARD = re.compile(
    r"linear[12]|mlp|ffn|feed_?forward|intermediate|output\.dense|fc[12]", re.IGNORECASE
)


def submodule_score(attention: float, feed_forward: float, balance: float = BALANCE) -> float:
    """The score of the two sums of magnitudes, each above 0; ``balance`` is b above."""
    return (1 - balance) * math.log(attention) + balance * math.log(feed_forward)


def encoder_weights(
    module: nn.Module,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Matrices of attention and of feed-forward layers, told apart by their names.

    Embeddings, heads, shifts and scales are neither.
    """
    attention: list[torch.Tensor] = []
    feed_forward: list[torch.Tensor] = []
    for name, weight in module.named_parameters():
        if weight.dim() < 2:
            continue
        if _ATTENTION.search(name):
            attention.append(weight)
        elif _FEED_FORWARD.search(name):
            feed_forward.append(weight)
    return attention, feed_forward


def encoder_score(module: nn.Module, balance: float = BALANCE) -> float:
    """The score of a transformer encoder in PyTorch, more is better.

    Raises ``NoScore`` where no weight is named as one of attention, or none as one of a
    feed-forward layer.
    """
    attention, feed_forward = encoder_weights(module)
    if not attention or not feed_forward:
        what = "a feed-forward layer" if attention else "attention"
        raise NoScore(f"no weight of the module is named as one of {what}")
    return submodule_score(_magnitude(attention), _magnitude(feed_forward), balance)


def _magnitude(weights: Iterable[torch.Tensor]) -> float:
    with torch.no_grad():
        return float(sum(weight.abs().sum(dtype=torch.float64) for weight in weights))
