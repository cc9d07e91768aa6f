"""Proxies of networks whose weights were trained a little, as paths of a supernet."""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray

from flash.backends.torch.module import TorchNetwork
from flash.proxies.images import Images
from flash.proxies.probe import Initial, NoScore, Probe
from flash.proxies.registry import PROXIES
from flash.supernet.bank import WeightBank
from flash.training.images import ImageSet

__all__ = ["WarmProbe", "score_warm"]


class WarmProbe(Probe):
    """A probe whose module has the shared weights of a design (indices) in place of fresh ones.

    Raises ``NoScore`` for a design without a path to its output.
    """

    def __init__(
        self, bank: WeightBank, design: NDArray[np.int64], *, seed: int, batch: int, data: Images
    ) -> None:
        network = bank.space.network(design)
        super().__init__(network, seed=seed, batch=batch, device="cpu", data=data)
        self._bank, self._design = bank, design

    def module(self, initial: Initial = "torch", draw: int = 0) -> TorchNetwork:
        """The path of the supernet, whatever is asked for; only its own weights are there."""
        if initial != "torch" or draw:
            raise NoScore("this proxy asks for weights of its own: warmed ones are one set")
        module = self._bank.module(self._design)
        assert module is not None  # the network has layers
        return module


def score_warm(
    bank: WeightBank,
    design: NDArray[np.int64],
    proxy: str,
    images: ImageSet,
    *,
    seed: int = 0,
    batch: int | None = None,
) -> float:
    """A design's score by a proxy of ``PROXIES`` with the shared weights, as the proxy has it.

    images: the training images are those that batches are of.  batch: the proxy's own if None.

    Raises ``NoScore`` where the proxy says nothing of it, ``UsageError`` for an unknown one.

    For example ``score_warm(training.bank, design, "sigeo", images)`` after ``train_supernet``.
    """
    declared = PROXIES[proxy]
    data = Images(images.train_images, images.train_labels, images.digest)
    probe = WarmProbe(bank, design, seed=seed, batch=batch or declared.batch, data=data)
    module, _, attribute = declared.place.partition(":")
    return float(getattr(importlib.import_module(module), attribute)(probe))
