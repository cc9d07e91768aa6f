"""The PyTorch view: the layer table's sizes, and onnxruntime's numbers, for every family."""

from __future__ import annotations

import numpy as np
import pytest

from flash.errors import InputError
from flash.spaces.network import GraphEmitter
from flash.spaces.reference import reference_network

torch = pytest.importorskip("torch", reason="needs the extra torch")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")

from numpy_networks import trained_looking  # noqa: E402

from flash.backends import (  # noqa: E402
    load_weights,
    module_weights,
    network_model,
    random_weights,
    run_onnx,
    torch_network,
)
from flash.backends.torch.module import TorchNetwork  # noqa: E402


def _image(network, seed=0, batch=1):
    shape = (batch, network.source.channels, network.source.height, network.source.width)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _largest_error(networks):
    worst = 0.0
    for seed, network in enumerate(networks):
        weights = trained_looking(random_weights(network, seed), seed)
        image = _image(network, seed)
        want = run_onnx(network_model(network, weights), {"input": image})["output"]
        with torch.no_grad():
            got = torch_network(network, weights).eval()(torch.from_numpy(image)).numpy()
        assert got.shape == want.shape
        worst = max(worst, np.abs(got - want).max() / max(1.0, np.abs(want).max()))
    return worst


def _sample(space, designs, seed=3):
    return [space.network(d) for d in space.sample(designs, np.random.default_rng(seed))]


def test_module_computes_what_onnxruntime_does(space):
    assert _largest_error(_sample(space, 2)) <= 1e-4


@pytest.mark.slow
def test_twenty_modules_compute_what_onnxruntime_does(space):
    assert _largest_error(_sample(space, 20)) <= 1e-4


@pytest.mark.parametrize("name", ["mobilenet_v3_large_minimalistic", "squeezenet_1.1", "googlenet"])
def test_published_networks_with_their_own_operations_agree(name):
    assert _largest_error([reference_network(name)]) <= 1e-4


def _counted(network):
    """Parameters and multiply-accumulates as PyTorch sees them; no weights are allocated."""
    macs = 0

    def count(part, inputs, output):
        nonlocal macs
        macs += part.weight.numel() * (output[0, 0].numel() if output.dim() == 4 else 1)

    with torch.device("meta"):
        module = TorchNetwork(network)
        for part in module.modules():
            if isinstance(part, torch.nn.Conv2d | torch.nn.Linear):
                part.register_forward_hook(count)
        module.eval()(torch.from_numpy(_image(network)).to("meta"))
    return sum(p.numel() for p in module.parameters()), macs


def _check_counts(space, designs):
    sample = space.sample(designs, np.random.default_rng(5))
    table = space.table(sample)
    params = sum(np.broadcast_to(x, designs) for x in table.params)
    macs = sum(np.broadcast_to(x, designs) for x in table.macs)
    for row, design in enumerate(sample):
        network = space.network(design)
        assert _counted(network) == (network.params, network.macs)
        assert (network.params, network.macs) == (params[row], macs[row])


def test_parameters_and_macs_are_the_layer_tables(space):
    _check_counts(space, 3)


@pytest.mark.slow
def test_parameters_and_macs_are_the_layer_tables_for_two_hundred_designs(space):
    _check_counts(space, 200)


def test_weights_survive_the_way_into_the_module_and_back(space):
    (network,) = _sample(space, 1)
    weights = trained_looking(random_weights(network), 1)
    returned = module_weights(torch_network(network, weights))
    assert returned.keys() == weights.keys()
    assert all(np.array_equal(returned[name], weights[name]) for name in weights)


def test_a_trained_step_changes_every_live_weight():
    e = GraphEmitter()
    source = e.source(3, 8, 8)
    output = e.linear(e.global_pool(e.conv(e.conv(source, 4), 6, stride=2)), 5)
    module = torch_network(e.network(source, output))
    before = module_weights(module)
    image = torch.from_numpy(_image(module.network, batch=4))
    torch.nn.functional.cross_entropy(module(image), torch.tensor([0, 1, 2, 3])).backward()
    torch.optim.SGD(module.parameters(), 0.1).step()
    after = module_weights(module)
    assert [name for name in before if np.array_equal(before[name], after[name])] == []


def test_missing_and_misshapen_weights_are_named():
    e = GraphEmitter()
    source = e.source(3, 8, 8)
    network = e.network(source, e.conv(source, 4))
    weights = random_weights(network)
    module = torch_network(network)
    with pytest.raises(InputError, match=r"lack conv0\.weight, an array of shape \(4, 3, 3, 3\)"):
        load_weights(module, {})
    weights["conv0.mean"] = np.zeros(5, dtype=np.float32)
    with pytest.raises(InputError, match=r"conv0\.mean has shape \(5,\); expected \(4,\)"):
        load_weights(module, weights)
