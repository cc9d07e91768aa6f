"""Every family is written once; the table and the graph must see the same network."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from flash.metrics.degree import nn_degree
from flash.metrics.memory import peak_activation_elements
from flash.spaces.layers import Layer
from flash.spaces.table import LayerTable

_COMPARED = [f.name for f in fields(Layer) if f.name not in ("inputs", "stage", "cell", "name")]


def _of_design(value, design):
    return value[design] if isinstance(value, np.ndarray) else value


def _table_layers(table, design):
    """The layers of one design of a table, with inputs renumbered as in its graph."""
    rows = [r for r in range(len(table)) if table.active[r, design]]
    number = {row: i for i, row in enumerate(rows)} | {-1: -1, -2: -2}
    result = []
    for row in rows:
        layer = table.layers[row]
        facts = {name: _of_design(getattr(layer, name), design) for name in _COMPARED}
        producers = [
            number[int(_of_design(x.producer, design))]
            for x in layer.inputs
            if _of_design(x.present, design)
        ]
        result.append((layer.stage, layer.cell, facts, producers))
    return result


def _graph_layers(network):
    return [
        (
            layer.stage,
            layer.cell,
            {name: getattr(layer, name) for name in _COMPARED},
            [int(x.producer) for x in layer.inputs if x.present],
        )
        for layer in network.layers
    ]


def test_table_and_graph_have_the_same_layers_on_random_designs(space, rng):
    designs = space.sample(300, rng)
    table = space.table(designs)
    totals = table.macs.sum(axis=0), table.params.sum(axis=0)
    for i, design in enumerate(designs):
        network = space.network(design)
        assert (network.macs, network.params) == (totals[0][i], totals[1][i])
        if i < 100:
            assert _graph_layers(network) == _table_layers(table, i)


@pytest.mark.slow
def test_every_layer_agrees_on_a_thousand_random_designs(space, rng):
    designs = space.sample(1000, rng)
    table = space.table(designs)
    for i, design in enumerate(designs):
        assert _graph_layers(space.network(design)) == _table_layers(table, i)


def test_memory_and_degree_of_a_graph_equal_those_of_the_table(space, rng):
    designs = space.sample(40, rng)
    table = space.table(designs)
    peak, degree = peak_activation_elements(table), nn_degree(table)
    for i, design in enumerate(designs):
        network = space.network(design)
        single = LayerTable(network.layers, [True] * len(network.layers), network.output, 1)
        assert peak_activation_elements(single)[0] == peak[i]
        assert nn_degree(single)[0] == pytest.approx(degree[i], rel=1e-12)


def test_used_and_live_views_agree_between_graph_and_table(space, rng):
    designs = space.sample(200, rng)
    table = space.table(designs)
    for i, design in enumerate(designs):
        network = space.network(design)
        assert len(network.used().layers) == table.used[:, i].sum()
        assert len(network.live().layers) == table.live[:, i].sum()
        assert len(network.kept().layers) == table.kept[:, i].sum()


def test_peak_memory_equals_a_step_by_step_simulation(space, rng):
    for design in space.sample(15, rng):
        network = space.network(design)
        assert peak_activation_elements(space.table(design[None]))[0] == _simulate(network)


def _simulate(network):
    """Keep a dictionary of live tensors, drop each after its last reader, or when that writes over
    it."""
    readers = {}
    for i, layer in enumerate(network.layers):
        for x in layer.inputs:
            if x.present:
                readers[int(x.producer)] = i
    readers[int(network.output.producer)] = len(network.layers)
    source = network.source
    alive = {-1: source.channels * source.height * source.width}
    peak = 0
    for i, layer in enumerate(network.layers):
        alive[i] = layer.out_channels * layer.out_height * layer.out_width
        if layer.op in ("act", "add", "mul", "norm"):
            read = [int(x.producer) for x in layer.inputs if x.present and int(x.producer) >= 0]
            for producer in read:
                if readers.get(producer) == i and alive[producer] == alive[i]:
                    alive[producer] = 0
                    break
        peak = max(peak, sum(alive.values()))
        alive = {k: size for k, size in alive.items() if readers.get(k, i) > i}
    return peak
