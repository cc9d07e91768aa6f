"""What a family of networks promises: one definition, every view the same."""

from __future__ import annotations

import numpy as np
import pytest

from flash.metrics import peak_activation_elements
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace
from flash.spaces.stage_tables import Floats, tabulate
from flash.spaces.table import LayerTable
from flash.testing.small import Ints, every_design

__all__ = ["FamilyConformance"]

#: Designs of larger spaces that are looked at.
_MOST = 200


class FamilyConformance:
    """Subclass it and give the fixture ``space``: a space of the family, the smaller the faster."""

    @pytest.fixture
    def space(self) -> SearchSpace:
        """A space of the family under test."""
        raise NotImplementedError

    @pytest.fixture
    def designs(self, space: SearchSpace) -> Ints:
        """All designs of a small space, else up to 200 of them drawn at random."""
        if space.size <= _MOST:
            return every_design([len(grid) for grid in space.grids])
        return np.unique(space.sample(_MOST, np.random.default_rng(0)), axis=0)

    def test_each_variable_is_owned_by_one_stage_and_read_later(self, space: SearchSpace) -> None:
        """Stages own every variable once, and read only what an earlier stage owns."""
        known: set[str] = set()
        owned: list[str] = []
        for stage in space.family.stages:
            assert set(stage.reads) <= known, f"{stage.name} reads what is not yet decided"
            owned += stage.owns
            known |= set(stage.owns)
        assert sorted(owned) == sorted(space.variables)

    def test_the_table_and_the_graphs_have_the_same_layers(
        self, space: SearchSpace, designs: Ints
    ) -> None:
        """Operations, parameters, multiply-accumulates and memory of every design agree."""
        table = space.table(designs)
        peak = peak_activation_elements(table)
        params, macs = table.params.sum(axis=0), table.macs.sum(axis=0)
        for i, design in enumerate(designs):
            network = space.network(design)
            present = zip(table.layers, table.active[:, i], strict=True)
            assert [x.op for x in network.layers] == [x.op for x, here in present if here]
            assert (network.params, network.macs) == (params[i], macs[i])
            assert peak_activation_elements(_alone(network))[0] == peak[i]

    def test_unused_layers_are_the_same_in_both_views(
        self, space: SearchSpace, designs: Ints
    ) -> None:
        """What lies on a path from input to output does not depend on the view."""
        table = space.table(designs)
        for i, design in enumerate(designs):
            network = space.network(design)
            assert len(network.used().layers) == table.used[:, i].sum()
            assert len(network.live().layers) == table.live[:, i].sum()

    def test_designs_are_connected_where_the_family_says_so(
        self, space: SearchSpace, designs: Ints
    ) -> None:
        """A path leads from input to output; a family of one stage may say that it need not."""
        if space.family.connected:
            assert space.table(designs).live.any(axis=0).all()
        else:
            assert len(space.family.stages) == 1

    def test_every_network_reads_the_image_and_returns_what_it_says(
        self, space: SearchSpace, designs: Ints
    ) -> None:
        """The input has the shape the family says, the outputs as many channels."""
        for design in designs:
            network = space.network(design)
            shape = space.family.input_shape(space.named(design))
            source = network.source
            assert (int(source.channels), int(source.height), int(source.width)) == (
                (shape.channels, shape.height, shape.width)
            )
            found = tuple(int(x.channels) for x in network.outputs)
            assert found == space.family.output_channels

    def test_stages_add_up_to_the_network(self, space: SearchSpace, designs: Ints) -> None:
        """A sum over layers is a sum of stage tables: none hides a variable."""

        def sums(table: LayerTable) -> dict[str, Floats]:
            moved = table.in_elements + table.out_elements
            return {
                "macs": table.macs.sum(axis=0).astype(np.float64),
                "params": table.params.sum(axis=0).astype(np.float64),
                "moved": moved.sum(axis=0).astype(np.float64),
            }

        combine = dict.fromkeys(("macs", "params", "moved"), "sum")
        problem = tabulate(space, sums, None, combine)  # type: ignore[arg-type]
        found, whole = problem.evaluate(designs), sums(space.table(designs))
        for name in combine:
            assert np.array_equal(found[name], whole[name]), name

    def test_designs_with_equal_canonical_values_are_one_network(
        self, space: SearchSpace, designs: Ints
    ) -> None:
        """They compute the same, and ``distinct`` counts them once."""
        twins: dict[tuple[int, ...], Network] = {}
        for design in designs:
            canonical = space.family.canonical(space.named(design))
            network = space.network(design)
            twin = twins.setdefault(tuple(map(int, canonical.values())), network)
            assert (network.params, network.macs) == (twin.params, twin.macs)
            assert [x.op for x in network.live().layers] == [x.op for x in twin.live().layers]
        assert len(twins) <= space.distinct <= space.size
        if len(designs) == space.size:
            assert len(twins) == space.distinct

    def test_a_design_can_be_written_and_read(self, space: SearchSpace, designs: Ints) -> None:
        """``describe`` and ``parse`` are inverse to each other, and so are identities."""
        lines = {space.describe(design): design for design in designs}
        assert len(lines) == len(designs), "two designs are described alike"
        assert len({space.identify(design) for design in designs}) == len(designs)
        for line, design in lines.items():
            assert "\n" not in line and line.isprintable()
            assert np.array_equal(space.parse(line), design)

    def test_the_networks_run(self, space: SearchSpace, designs: Ints) -> None:
        """The first and the last design run in onnxruntime to finite numbers (the extra onnx)."""
        pytest.importorskip("onnxruntime")
        from flash.backends import network_model, random_weights, verify_onnx  # noqa: PLC0415

        for design in (designs[0], designs[-1]):
            network = space.network(design)
            model = network_model(network, random_weights(network, 0), "design")
            verify_onnx(model.SerializeToString(), 0)


def _alone(network: Network) -> LayerTable:
    return LayerTable(network.layers, [True] * len(network.layers), network.output, 1)
