"""Evolution of a proxy: tensors against PyTorch's gradients, formulas by hand, the script."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")
gp = pytest.importorskip("deap.gp", reason="needs the extra strategies")

from flash.command import run_command  # noqa: E402
from flash.proxies.eznas_a import _volumes, sign_volume  # noqa: E402
from flash.proxies.probe import NoScore, Probe  # noqa: E402
from flash.spaces.space import load_space  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import evolve_proxy as ez  # noqa: E402


@pytest.fixture(scope="module")
def space():
    space = load_space("nasbench201")
    shape = replace(space.family.shape, height=8, width=8)
    family = type(space.family)(shape, 10, {"cells": 1, "channels": 4})
    return replace(space, family=family)


@pytest.fixture(scope="module")
def units(space):
    return ez.units_of(space.network(np.array([3, 2, 3, 1, 3, 2])), batch=3, seed=0)


def _tree(text):
    names = [f"{a}_{b}" for a in ez.PASSES for b in ez.PARTS] + ["kernel"]
    return gp.PrimitiveTree.from_string(text, ez.grammar_of(names))


def test_every_unit_has_nineteen_tensors_of_the_shapes_promised(units):
    for unit in units:
        assert len(unit) == 19
        for name in ez.PASSES:
            read, returned = unit[f"{name}_read"], unit[f"{name}_returned"]
            assert unit[f"{name}_by_read"].shape == unit[f"{name}_by_relu"].shape == read.shape
            assert unit[f"{name}_by_returned"].shape == returned.shape
            assert unit[f"{name}_by_kernel"].shape == unit["kernel"].shape


def test_the_gradient_by_the_kernel_is_that_of_the_convolution(units):
    """That is what it read, correlated with the gradient of its result."""
    for unit in units:
        kernel, read = unit["kernel"], unit["images_read"]
        stride = -(-read.shape[-1] // unit["images_returned"].shape[-1])
        expected = torch.nn.grad.conv2d_weight(
            read, kernel.shape, unit["images_by_returned"], stride, (kernel.shape[-1] - 1) // 2
        )
        torch.testing.assert_close(unit["images_by_kernel"], expected, rtol=1e-3, atol=1e-5)


def test_the_released_formula_can_be_said_in_the_grammar(space):
    """norm(sigmoid(log_det(sign(gradient)))) is ``eznas_a``'s own on the same gradients."""
    network = space.network(np.array([3, 3, 3, 3, 3, 3]))
    gradient = torch.from_numpy(
        np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)
    )
    tree = _tree("norm(sigmoid(log_det(sign(noise_by_relu))))")
    value = ez.value_of(tree, {"noise_by_relu": gradient})
    assert value == pytest.approx(sign_volume(gradient), rel=1e-6)
    assert len(ez.units_of(network, 2, 0)) == len(_volumes(_probe(network)))


def _probe(network):
    return Probe(network, seed=0, batch=2, device="cpu")


def test_shapes_that_do_not_fit_make_a_tree_meaningless(units):
    assert ez.score(_tree("mean(add(kernel, noise_read))"), [units]) is None
    assert ez.least_tau(_tree("mean(log_det(kernel))"), [ez.Ranked([units], np.ones(1))]) == -1.0


def test_a_network_scores_the_mean_over_its_units(units):
    found = ez.score(_tree("n_add(magnitude(kernel), one)"), [units, units[:1]])
    by_hand = [float(unit["kernel"].abs().mean()) + 1.0 for unit in units]
    np.testing.assert_allclose(found, [np.mean(by_hand), by_hand[0]], rtol=1e-6)


def test_a_network_without_units_is_refused():
    """The convolutions of MobileNet v2 read ReLU6."""
    other = load_space("cifar10-mobilenet-v2")
    with pytest.raises(NoScore, match="reads a ReLU"):
        ez.units_of(other.network(np.zeros(len(other.variables), dtype=np.int64)), 2, 0)


def test_evolution_finds_a_planted_formula_and_is_the_same_twice():
    rng = np.random.default_rng(2)
    networks = [
        [{"kernel": torch.from_numpy(rng.standard_normal((2, 2, 1, 1)).astype(np.float32))}]
        for _ in range(12)
    ]
    truth = np.array([float(one[0]["kernel"].square().mean()) for one in networks])
    for network in networks:
        for name in ez.PASSES:
            network[0] |= {f"{name}_{part}": network[0]["kernel"] * 0 + 1 for part in ez.PARTS}
    table = ez.Ranked(networks, truth)
    (found, _), (again, _) = (ez.evolve([table], 20, 4, 1) for _ in range(2))
    assert str(found) == str(again)
    assert ez.least_tau(found, [table]) > 0.9


def test_the_script_judges_on_networks_it_did_not_see(space, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ez, "load_space", lambda name: space)
    rng = np.random.default_rng(0)
    designs = [space.describe(rng.integers(2, 4, size=6)) for _ in range(12)]
    lines = [f'"{text}",{50 + k}' for k, text in enumerate(dict.fromkeys(designs))]
    table = tmp_path / "known.csv"
    table.write_text("design,accuracy\n" + "\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "found.json"
    given = [f"nasbench201={table}", "--fit", "5", "--held-out", "4", "--batch", "2"]
    small = ["--population", "6", "--generations", "1", "--out", str(out)]
    assert run_command(ez.main, [*given, *small]) == 0
    printed = capsys.readouterr().out
    assert "tau on 5 networks" in printed and "on 4 others" in printed
    assert json.loads(out.read_text(encoding="utf-8"))["formula"] in printed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nasbench201"], "expected SPACE=TABLE.csv"),
        (["nasbench201={table}", "--fit", "20"], "takes all but 2"),
        (["nasbench201=absent.csv"], "absent.csv"),
    ],
)
def test_wrong_input_gets_a_line(given, said, space, tmp_path, capsys):
    table = tmp_path / "known.csv"
    text = space.describe(np.array([3, 2, 3, 1, 3, 2]))
    table.write_text(f'design,accuracy\n"{text}",50\n', encoding="utf-8")
    assert run_command(ez.main, [g.format(table=table) for g in given]) in (2, 4)
    assert said in capsys.readouterr().err
