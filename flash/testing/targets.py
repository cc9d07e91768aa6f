"""What a target promises, whatever kind of hardware it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from flash.errors import UsageError
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats, tabulate
from flash.targets import ChipsOfFormats, Costs, Hardware, Target, bits_of
from flash.testing.small import Ints, every_design, small_space

__all__ = ["TargetConformance"]


class TargetConformance:
    """Subclass it and give the fixture ``hardware``: a profile, as ``load_hardware`` reads it.

    tolerance: relative difference allowed between sums in another order.
    """

    tolerance: float = 1e-9

    @pytest.fixture
    def hardware(self) -> Hardware:
        """The profile under test."""
        raise NotImplementedError

    @pytest.fixture
    def target(self, hardware: Hardware) -> Target:
        """Its default chip, or the board."""
        return hardware.target()

    @pytest.fixture
    def space(self) -> SearchSpace:
        """A small space of networks with skips."""
        return small_space("concat")

    @pytest.fixture
    def designs(self, space: SearchSpace) -> Ints:
        """Every design of it."""
        return every_design([len(grid) for grid in space.grids])

    def test_it_says_what_it_is(self, hardware: Hardware, target: Target) -> None:
        """Plain facts for reports: a name, where figures come from, positive sizes."""
        summary = json.loads(json.dumps(target.summary(), allow_nan=False))
        assert summary["name"] == target.name == hardware.name
        assert summary["provenance"], "every number says where it comes from"
        assert target.weight_bytes > 0 and target.activation_bytes > 0
        assert target.weight_limit_kb > 0
        assert target.latency_how and all(isinstance(note, str) for note in target.notes)

    def test_costs_lie_in_their_intervals(
        self, target: Target, space: SearchSpace, designs: Ints
    ) -> None:
        """low <= value <= high, finite and above 0, one a design."""
        costs = target.costs(space.table(designs))
        for name, triple in _triples(costs).items():
            value, low, high = triple
            assert value.shape == low.shape == high.shape == (len(designs),), name
            assert np.isfinite(high).all() and (low >= 0).all(), name
            assert ((low <= value) & (value <= high)).all(), name
        assert (costs.latency_ms[0] > 0).all()
        assert costs.extrapolated.shape == (len(designs),)
        assert costs.extrapolated.dtype == np.bool_
        for values in costs.details.values():
            assert values.shape == (len(designs),)

    def test_a_design_costs_the_same_alone(
        self, target: Target, space: SearchSpace, designs: Ints
    ) -> None:
        """Costs do not depend on what else is in the table."""
        together, alone = (target.costs(space.table(d)) for d in (designs, designs[:1]))
        for name, triple in _triples(alone).items():
            for one, many in zip(triple, _triples(together)[name], strict=True):
                assert one[0] == pytest.approx(many[0], rel=self.tolerance)

    def test_stages_add_up_to_the_costs(
        self, target: Target, space: SearchSpace, designs: Ints
    ) -> None:
        """Where the target is exact; else their sums are lower bounds."""
        quantities = dict(target.quantities)
        problem = tabulate(space, target.stage_costs, None, quantities)
        found, whole = problem.evaluate(designs), _triples(target.costs(space.table(designs)))
        for name in quantities:
            if name not in whole:
                continue
            if target.exact:
                assert np.allclose(found[name], whole[name][0], rtol=self.tolerance, atol=0), name
            else:
                assert (found[name] <= whole[name][0] * (1 + self.tolerance)).all(), name

    def test_given_sums_are_the_costs(
        self, target: Target, space: SearchSpace, designs: Ints
    ) -> None:
        """An exact target takes sums of stages as they are, and puts its intervals around them."""
        if not target.exact:
            pytest.skip("sums of stages are lower bounds here")
        table = space.table(designs)
        known = _triples(target.costs(table))
        totals = {name: known[name][0] * (1 + 1e-12) for name in ("latency_ms", "energy_mj")}
        again = _triples(target.costs(table, totals))
        for name, total in totals.items():
            value, low, high = again[name]
            assert np.array_equal(value, total), name
            assert ((low <= value) & (value <= high)).all(), name

    def test_a_breakdown_adds_up_to_the_costs(
        self, target: Target, space: SearchSpace, designs: Ints
    ) -> None:
        """Layer by layer and component by component."""
        costs = target.costs(space.table(designs[-1:]))
        parts = target.breakdown(space.network(designs[-1]))
        latency_ms = float(costs.latency_ms[0][0])
        assert sum(layer.latency_ms for layer in parts.layers) == pytest.approx(latency_ms)
        assert sum(parts.latency_ms.values()) == pytest.approx(latency_ms)
        if target.energy_how:
            energy_mj = float(costs.energy_mj[0][0])
            assert sum(parts.energy_mj.values()) == pytest.approx(energy_mj)
        if costs.area_mm2 is not None:
            assert sum(parts.area_mm2.values()) == pytest.approx(float(costs.area_mm2[0][0]))

    def test_a_larger_network_is_not_faster(
        self, target: Target, space: SearchSpace, designs: Ints
    ) -> None:
        """The design of the largest values takes at least as long as that of the smallest."""
        latency = target.costs(space.table(designs[[0, -1]])).latency_ms[0]
        assert latency[0] <= latency[1] * (1 + self.tolerance)

    def test_all_chips_of_a_family_cost_what_each_alone_does(
        self, hardware: Hardware, space: SearchSpace, designs: Ints
    ) -> None:
        """Costs of all chips at once are those of each chip by itself."""
        family = hardware.family()
        if family is None:
            pytest.skip("hardware that one buys ready-made")
        possible = np.flatnonzero(family.possible)
        assert len(family.chips) == len(family.possible) and len(possible)
        table = space.table(designs[:3])
        together = family.stage_costs(table)
        for row in {0, len(possible) - 1}:
            alone = family.target(int(possible[row])).stage_costs(table)
            for name, values in together.items():
                assert np.allclose(values[row], alone[name], rtol=self.tolerance, atol=0), name

    def test_chips_of_every_number_format_are_chips_of_the_family(self, hardware: Hardware) -> None:
        """Where formats are searched: each chip has one, and variables stay what they are."""
        offered: object = hardware.family()
        if not isinstance(offered, ChipsOfFormats):
            pytest.skip("one number format")
        family: Any = offered  # of both protocols
        every, names = [dict(chip) for chip in family.chips], list(family.grid.free)
        assert list(family.bits) == sorted(set(family.bits)) and family.usual_bits in family.bits
        found = []
        for bits in family.bits:
            part = family.of_bits(bits)
            assert list(part.grid.free) == names
            assert {bits_of(part.target(k)) for k in range(len(part.chips))} == {bits}
            assert bits_of(part.example) == bits
            found += [dict(chip) for chip in part.chips]
        assert len(found) == len(every) and all(chip in every for chip in found)
        if len(family.bits) > 1:
            others = [bits for bits in family.bits if bits != family.usual_bits]
            left = family.without_bits(others, "why")
            assert {bits_of(left.target(k)) for k in range(len(left.chips))} == {family.usual_bits}
            assert "why" in left.notes and left.grid.options < family.grid.options

    def test_what_it_lacks_is_told_in_a_line(self, hardware: Hardware) -> None:
        """A runtime that there is not is refused."""
        with pytest.raises(UsageError) as told:
            hardware.select("no-such-runtime")
        assert str(told.value) and "\n" not in str(told.value)


def _triples(costs: Costs) -> Mapping[str, tuple[Floats, Floats, Floats]]:
    found = {"latency_ms": costs.latency_ms, "energy_mj": costs.energy_mj}
    return found if costs.area_mm2 is None else {**found, "area_mm2": costs.area_mm2}
