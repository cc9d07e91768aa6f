"""Hidden covariance: how differently a recurrent layer's states follow different sequences."""

from __future__ import annotations

import torch
from torch import nn

from flash.proxies.jacob_cov import correlation_score

__all__ = ["hidden_covariance", "hidden_states"]


def hidden_covariance(states: torch.Tensor) -> float:
    """-sum of log(s_i + k) + 1/(s_i + k), s_i the eigenvalues of the sequences' correlations.

    states: of one recurrent layer, shape (sequences, steps, units); k = 1e-5. Serianni & Kalita
    2023, section 3.2. Raises ``NoScore`` where a sequence's states are constant.
    """
    return correlation_score(states.flatten(1))


def hidden_states(layer: nn.RNNBase, sequences: torch.Tensor) -> torch.Tensor:
    """States of a PyTorch recurrent layer for inputs of shape (sequences, steps, features)."""
    given = sequences if layer.batch_first else sequences.transpose(0, 1)
    with torch.no_grad():
        states: torch.Tensor = layer(given)[0]
    return states if layer.batch_first else states.transpose(0, 1)
