"""A proxy that runs the network once: how differently it answers to different images."""

from __future__ import annotations

import math

import torch

from flash.proxies.probe import NoScore, Probe

__all__ = ["output_spread"]


def output_spread(probe: Probe) -> float:
    """ln of the standard deviation of the outputs over the images, mean over the classes."""
    with torch.no_grad():
        outputs = probe.module("fan_in")(probe.images())
    spread = float(outputs.std(dim=0).mean())
    if spread == 0:
        raise NoScore("all images have the same output")
    return math.log(spread)
