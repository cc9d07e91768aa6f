"""Scores of the description alone, so that aggregates of proxies can have them as members."""

from __future__ import annotations

from flash.metrics.sed import score_network
from flash.proxies.probe import Probe

__all__ = ["described_rank", "described_sed"]


def described_rank(probe: Probe) -> float:
    """``rank_score`` of ``flash.metrics``: no image, no weight."""
    return float(score_network(probe.network).rank_score)


def described_sed(probe: Probe) -> float:
    """``sed`` of ``flash.metrics``: no image, no weight."""
    return float(score_network(probe.network).sed)
