"""The graph predictor after TG-NAS: its gradients, its descriptors, its metric and its search."""

from __future__ import annotations

import json

import numpy as np
import pytest
from searched_table import SIZES, accuracies, evaluator, table

from flash.command import run_command
from flash.metrics import METRICS
from flash.metrics.graph_network import Fitting, Graph, GraphNetwork, _side_by_side
from flash.metrics.tg_nas import DESCRIPTORS, graph_of
from flash.search import command as search_command
from flash.search.budgeted import Candidates, all_designs, run_strategy
from flash.search.budgeted.tg_nas import pruned
from flash.spaces.space import load_space


def _graph(nodes, seed):
    rng = np.random.default_rng(seed)
    edges = np.array([(a, b) for b in range(nodes) for a in range(b) if rng.random() < 0.5]).T
    return Graph(rng.normal(size=(nodes, 4)), edges.reshape(2, -1).astype(np.int64))


def _network(layers=2):
    graphs = [_graph(5, seed) for seed in range(4)]
    return GraphNetwork.fitted(graphs, np.arange(4.0), 0, Fitting(3, layers, 1))


def test_a_score_is_that_of_the_formula_with_dense_matrices():
    network, graph = _network(), _graph(4, 9)
    own = network.arrays
    adjacency = np.eye(4)
    adjacency[graph.edges[0], graph.edges[1]] = adjacency[graph.edges[1], graph.edges[0]] = 1
    scale = adjacency.sum(axis=1) ** -0.5
    adjacency = scale[:, None] * adjacency * scale
    x = (graph.features - own["mean"]) / own["deviation"]
    for k in range(2):
        x = np.maximum(adjacency @ x @ own[f"weight{k}"] + own[f"shift{k}"], 0)
    expected = (x @ own["out"]).mean() + own["offset"][0]
    both = network.scores([_graph(6, 3), graph])
    assert both[1] == pytest.approx(expected) and len(both) == 2


def test_gradients_are_those_of_differences():
    network = _network()
    graphs, targets = [_graph(5, 1), _graph(3, 2)], np.array([0.5, -1.0])
    batch = _side_by_side(graphs)
    gradients = network._gradients(batch, targets)

    def loss():
        return float(((network.forward(batch)[0] - targets) ** 2).mean())

    for name, gradient in gradients.items():
        for place in np.ndindex(gradient.shape):
            kept = network.arrays[name][place]
            values = []
            for step in (1e-6, -1e-6):
                network.arrays[name][place] = kept + step
                values.append(loss())
            network.arrays[name][place] = kept
            assert gradient[place] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


def test_it_learns_what_a_graph_s_nodes_say_and_the_same_seed_gives_the_same():
    graphs = [_graph(3 + seed % 5, seed) for seed in range(200)]
    targets = np.array([np.maximum(graph.features[:, 0], 0).mean() for graph in graphs])
    how = Fitting(epochs=60, rate=1e-2, falls=40)
    found = GraphNetwork.fitted(graphs[:150], targets[:150], 0, how).scores(graphs[150:])
    again = GraphNetwork.fitted(graphs[:150], targets[:150], 0, how).scores(graphs[150:])
    assert np.corrcoef(found, targets[150:])[0, 1] > 0.7
    np.testing.assert_array_equal(found, again)


def test_nodes_are_described_by_what_their_operation_does():
    space = load_space("nasbench201")
    text = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    graph = graph_of(space.network(space.parse(text)))
    live = space.network(space.parse(text)).live()
    column = {name: graph.features[:, k] for k, name in enumerate(DESCRIPTORS)}
    assert len(graph.features) == len(live.layers)
    assert column["is_convolution"].sum() == sum(x.op == "conv" for x in live.layers)
    assert column["is_pool"].sum() == 15 + sum(
        x.op == "avg_pool" and x.cell < 0 for x in live.layers
    )
    number = next(k for k, x in enumerate(live.layers) if x.op == "conv" and x.cell == 0)
    assert column["kernel_area"][number] == pytest.approx(np.log2(10))
    # 16 x 9 weights and two numbers of batch norm for each output channel.
    assert column["parameters_per_channel"][number] == pytest.approx(np.log2(1 + 16 * 9 + 2))
    assert column["macs_per_channel"][number] == pytest.approx(np.log2(1 + 16 * 9))
    assert (graph.edges[0] < graph.edges[1]).all() and column["is_depthwise"].sum() == 0
    mobile = load_space("cifar10-mobilenet-v2")
    described = graph_of(mobile.network(mobile.sample(1, np.random.default_rng(0))[0]))
    assert described.features[:, DESCRIPTORS.index("is_depthwise")].sum() > 0


def test_the_shipped_predictor_ranks_cells_of_a_space_it_knows():
    space = load_space("nasbench201")
    texts = [
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|",
    ]
    designs = np.array([space.parse(text) for text in texts])
    good, bad = METRICS["tg_nas"].of_designs(space, designs)["tg_nas"]
    assert good > bad + 0.5
    assert METRICS["tg_nas"].of_network(space.network(designs[0]))["tg_nas"] == good


def test_pruning_drops_the_value_of_the_lowest_mean_until_one_design_is_left():
    designs = all_designs((3, 4))
    score = 10.0 * (designs[:, 0] == 2) + designs[:, 1]
    for scoring in (None, lambda rows: (10.0 * (rows[:, 0] == 2) + rows[:, 1])[:, None]):
        candidates = Candidates((3, 4), designs, ("s",), score[:, None], scoring)
        assert pruned(candidates, np.random.default_rng(0)).tolist() == [2, 3]


def test_what_pruning_leaves_is_a_candidate_where_few_are():
    designs = all_designs(SIZES)[::37]
    candidates = Candidates(SIZES, designs, ("a",), accuracies(designs)[:, None])
    for seed in range(5):
        assert candidates.admitted(pruned(candidates, np.random.default_rng(seed))[None])[0]


def test_the_search_trains_what_pruning_found_and_then_the_fittest():
    found = run_strategy("tg-nas", table(("wide",)), evaluator(8), 0)
    assert list(found.trials[0].design) == found.details["pruned"] and found.spent == 8
    chance = run_strategy("random", table(("wide",)), evaluator(8), 0)
    assert found.best.accuracy > chance.best.accuracy


def test_the_command_searches_by_it(tmp_path, capsys):
    space = load_space("nasbench201")
    designs = all_designs([2] * 6) + 2
    path = tmp_path / "known.csv"
    rows = [f"{space.describe(d)},{60 + int((d == 3).sum())}" for d in designs]
    path.write_text("\n".join(["design,accuracy", *rows]) + "\n")
    arguments = ["--space", "nasbench201", "--target", "rpi4b", "--search", "tg-nas",
                 "--budget", "3", "--evaluator", str(path), "--json", "-"]  # fmt: skip
    assert run_command(search_command.main, arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["metrics"] == ["tg_nas"] and document["budget"]["spent"] == 3
