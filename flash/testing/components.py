"""What a component of an accelerator promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from flash.targets.components import Component, ComponentModel

__all__ = ["ComponentConformance"]

#: Everything that a chip hands to a component, whatever the part is.
_ATTRIBUTES: Mapping[str, Any] = {
    "kib": 64.0,
    "bits": 8.0,
    "rows": 128.0,
    "width_bits": 64.0,
    "cycle_ns": 10.0,
    "leakage_mw_per_mm2": 12.0,
}


class ComponentConformance:
    """Subclass it and give the fixture ``model``, a member of ``flash.components``.

    nodes_nm:   two technology nodes that the model knows, the smaller one first.
    attributes: what it is called with beside the node.
    on_chip:    false for what stands beside the chip and takes no area of it (DRAM).
    """

    nodes_nm: tuple[float, float] = (32.0, 45.0)
    attributes: Mapping[str, Any] = _ATTRIBUTES
    on_chip: bool = True

    @pytest.fixture
    def model(self) -> ComponentModel:
        """The model under test."""
        raise NotImplementedError

    @pytest.fixture
    def made(self, model: ComponentModel) -> Component:
        """The component at the smaller node."""
        return model(self.nodes_nm[0], **self.attributes)

    def test_figures_are_finite_and_have_sources(self, made: Component) -> None:
        """An action at least; each figure with where it comes from."""
        assert made.name and made.energy_pj
        for action, energy in made.energy_pj.items():
            assert np.isfinite(energy).all() and np.all(np.asarray(energy) >= 0), action
            assert made.sources[action], action
        assert np.isfinite(made.area_mm2).all()
        assert np.all(np.asarray(made.area_mm2) > 0) == self.on_chip
        assert np.all(np.asarray(made.leakage_mw) >= 0)
        if self.on_chip:
            assert made.sources["area"]
        for action, time in made.time_ns.items():
            assert action in made.energy_pj and np.all(np.asarray(time) > 0)

    def test_the_same_call_gives_the_same_figures(
        self, model: ComponentModel, made: Component
    ) -> None:
        """No state, nothing random."""
        again = model(self.nodes_nm[0], **self.attributes)
        for action, energy in made.energy_pj.items():
            assert np.array_equal(energy, again.energy_pj[action])
        assert np.array_equal(made.area_mm2, again.area_mm2)

    def test_a_smaller_node_is_not_larger_or_dearer(self, model: ComponentModel) -> None:
        """Equal where figures do not scale, as those of analog parts."""
        small, large = (model(node, **self.attributes) for node in self.nodes_nm)
        for action, energy in small.energy_pj.items():
            assert np.all(energy <= large.energy_pj[action] * (1 + 1e-12)), action
        assert np.all(small.area_mm2 <= large.area_mm2 * (1 + 1e-12))
