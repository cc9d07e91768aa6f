"""Head confidence: how large the outputs of a transformer's attention heads get."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional

__all__ = ["attention_heads", "head_confidence"]


def head_confidence(layers: Iterable[torch.Tensor]) -> float:
    """Sum over heads of the mean over sequences and units of the largest output of any token.

    layers: outputs of each layer's heads, shape (sequences, heads, tokens, units). Serianni &
    Kalita 2023, section 4.2 (attention confidence after Voita et al. 2019).
    """
    return float(sum(heads.amax(2).mean((0, 2)).sum() for heads in layers))


def attention_heads(attention: nn.MultiheadAttention, tokens: torch.Tensor) -> torch.Tensor:
    """Outputs of the heads of a self-attention, before they are mixed.

    tokens: (sequences, tokens, units). Returns (sequences, heads, tokens, units / heads).
    """
    count, heads = tokens.shape[1], attention.num_heads
    with torch.no_grad():
        mixed = functional.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = (
            part.reshape(len(tokens), count, heads, -1).transpose(1, 2)
            for part in mixed.chunk(3, dim=-1)
        )
        weights = (query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(-1)
        return weights @ value
