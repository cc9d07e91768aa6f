"""What draws the designs of a supernet, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from flash.supernet.sampler import Floats, Ints, Sampler, Seen, Task

__all__ = ["SamplerConformance"]

#: Values of each variable; value k of a variable costs ``_COST[k]`` of loss.
_SIZES = (4, 4, 3)
_COST = np.array([0.5, 0.0, 1.0, 0.7])
_EPOCHS, _STEPS, _CLASSES, _ASIDE = 12, 40, 5, 1000


class SamplerConformance:
    """Subclass it and give the fixture ``sampler``; tenths of a second, no network is run.

    The loss of a design is 0.2 and what its values cost, with noise; its accuracy falls with it.
    """

    @pytest.fixture
    def sampler(self) -> type[Sampler]:
        """The class under test."""
        raise NotImplementedError

    def _new(self, sampler: type[Sampler]) -> Sampler:
        gated = (True,) * len(_SIZES)
        task = Task(_SIZES, gated, _EPOCHS, _CLASSES, _STEPS, _ASIDE, latency_ms=_latency_ms)
        return sampler(task)

    def _run(self, one: Sampler, epochs: range, seed: int = 0) -> list[tuple[int, ...]]:
        """Designs drawn in these epochs."""
        drawn: list[tuple[int, ...]] = []
        for epoch in epochs:
            rng = np.random.default_rng([seed, epoch])
            for step in range(_STEPS):
                design = one.draw(rng)
                assert design.shape == (len(_SIZES),) and design.dtype == np.int64
                assert one.alive[np.arange(len(_SIZES)), design].all()
                drawn.append(tuple(design.tolist()))
                late = epoch >= one.weights_only
                one.observe(_seen(design, rng, validates=late and step % 2 == 1))
            one.epoch_ended(epoch, rng.uniform(size=_CLASSES))
        return drawn

    def test_what_is_drawn_and_named_is_alive(self, sampler: type[Sampler]) -> None:
        """Of every variable one value stays at least, and none comes back."""
        one = self._new(sampler)
        before = one.alive
        for epoch in range(_EPOCHS):
            self._run(one, range(epoch, epoch + 1))
            now = one.alive
            assert now.any(axis=1).all() and not (now & ~before).any()
            p = one.probabilities
            assert (p[~now] == 0).all() and np.allclose(p.sum(axis=1), 1)
            named = one.result()
            assert named.shape == (len(_SIZES),) and now[np.arange(len(_SIZES)), named].all()
            before = now

    def test_the_same_seed_gives_the_same_draws(self, sampler: type[Sampler]) -> None:
        """Whatever the global random numbers were."""
        np.random.seed(1)  # noqa: NPY002
        first = self._run(self._new(sampler), range(_EPOCHS), 3)
        np.random.seed(2)  # noqa: NPY002
        assert self._run(self._new(sampler), range(_EPOCHS), 3) == first

    @pytest.mark.parametrize("cut", [1, 7])
    def test_a_state_that_was_kept_goes_on_as_if_uncut(
        self, sampler: type[Sampler], cut: int
    ) -> None:
        """``state`` is all there is to keep, arrays of numbers or flags."""
        whole = self._new(sampler)
        drawn = self._run(whole, range(_EPOCHS))
        begun = self._new(sampler)
        self._run(begun, range(cut))
        kept = {name: values.copy() for name, values in begun.state.items()}
        assert all(values.dtype.kind in "fib" for values in kept.values())
        again = self._new(sampler)
        again.load(kept)
        assert self._run(again, range(cut, _EPOCHS)) == drawn[cut * _STEPS :]
        np.testing.assert_array_equal(again.result(), whole.result())

    def test_some_classes_are_shown(self, sampler: type[Sampler]) -> None:
        """Two at least; None is all."""
        one = self._new(sampler)
        for epoch in range(_EPOCHS):
            shown = one.classes(epoch)
            assert shown is None or (shown.shape == (_CLASSES,) and shown.sum() >= 2)
            self._run(one, range(epoch, epoch + 1))

    def test_it_names_a_design_better_than_most(self, sampler: type[Sampler]) -> None:
        """Of three seeds: below the mean cost of a design drawn at random."""
        cost = []
        for seed in range(3):
            one = self._new(sampler)
            self._run(one, range(_EPOCHS), seed)
            cost.append(float(_COST[one.result()].sum()))
        assert np.mean(cost) < sum(_COST[:size].mean() for size in _SIZES)


def _seen(design: Ints, rng: np.random.Generator, *, validates: bool) -> Seen:
    loss = 0.2 + float(_COST[design].sum()) + 0.1 * float(rng.standard_normal())
    gradient = np.zeros((len(_SIZES), max(_SIZES)))
    # To first order what the loss gains by the gate: against the mean of the values.
    gradient[np.arange(len(design)), design] = _COST[design] - _COST.mean()
    accuracy = float(np.exp(-max(loss, 0.0)))
    return Seen(design, "validation" if validates else "train", loss, accuracy, gradient)


def _latency_ms(designs: Ints) -> Floats:
    found: Floats = 1.0 + designs.sum(axis=1)
    return found
