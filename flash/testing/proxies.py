"""What a proxy that runs the network promises."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from flash.proxies.registry import PROXIES, Proxy
from flash.spaces.network import Network
from flash.testing.small import small_space

__all__ = ["ProxyConformance"]


class ProxyConformance:
    """Subclass it and give the fixture ``proxy``, the name of a registered one. Needs PyTorch.

    batch:  images a batch.
    beside: a proxy computed before it, whose work it may not disturb.
    silent: proxies that say nothing about networks as small as these.
    """

    batch: int = 6
    beside: str = "grad_norm"
    silent: frozenset[str] = frozenset()

    @pytest.fixture
    def proxy(self) -> str:
        """The name of the proxy under test."""
        raise NotImplementedError

    @pytest.fixture
    def networks(self) -> Iterator[list[Network]]:
        """Small networks with skips, one a family; threads would cost more than they bring."""
        torch = pytest.importorskip("torch")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        spaces = [small_space(family) for family in ("concat", "add", "nasbench201")]
        yield [s.network(np.array([len(g) - 1 for g in s.grids]) // 2) for s in spaces]
        torch.set_num_threads(threads)

    def _score(self, network: Network, *names: str, seed: int = 0) -> dict[str, float]:
        from flash.proxies import score_network  # noqa: PLC0415 (an extra)

        return score_network(network, names, seed=seed, batch=self.batch)

    def test_it_declares_what_it_is(self, proxy: str) -> None:
        """A positive batch, a source, and a place that can be imported."""
        declared = PROXIES[proxy]
        assert isinstance(declared, Proxy) and declared.name == proxy
        assert declared.batch >= 1 and declared.source and declared.version >= 1
        assert declared.quantity.sense == "max"

    def test_a_score_is_a_finite_number_or_has_a_reason(
        self, proxy: str, networks: list[Network]
    ) -> None:
        """NaN only beside a line that says why, and not for every network."""
        from flash.proxies import score_network  # noqa: PLC0415 (an extra)

        scored = 0
        for network in networks:
            found = score_network(network, [proxy], batch=self.batch)
            if math.isnan(found[proxy]):
                assert found.failures[proxy].strip() and "\n" not in found.failures[proxy]
            else:
                assert math.isfinite(found[proxy])
                scored += 1
        assert scored or proxy in self.silent

    def test_only_the_seed_decides_and_global_random_numbers_are_left_alone(
        self, proxy: str, networks: list[Network]
    ) -> None:
        """A proxy draws from its probe: the same score to the last bit, and no trace of it."""
        import torch  # noqa: PLC0415 (an extra)

        torch.manual_seed(1)
        before = torch.get_rng_state(), _numpy_state()
        first = self._score(networks[0], proxy, seed=3)[proxy]
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1] == _numpy_state()
        torch.manual_seed(2)
        second = self._score(networks[0], proxy, seed=3)[proxy]
        assert first == second or (math.isnan(first) and math.isnan(second))

    def test_it_does_not_disturb_proxies_beside_it(
        self, proxy: str, networks: list[Network]
    ) -> None:
        """Scores do not depend on what was computed before on the same network."""
        alone = self._score(networks[0], proxy)[proxy]
        both = self._score(networks[0], self.beside, proxy)[proxy]
        assert both == pytest.approx(alone, rel=1e-6, nan_ok=True)


def _numpy_state() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002
