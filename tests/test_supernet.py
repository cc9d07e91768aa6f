"""Shared weights: a path is the network alone, gates tell their gradient, cut trainings go on."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from flash.command import run_command
from flash.errors import UsageError
from flash.search import command as search_command
from flash.spaces.family import InputShape
from flash.spaces.space import load_space
from flash.supernet import SAMPLERS, Seen, Task
from flash.supernet.network import check_sharing, empty_values, gated_variables, path_of
from flash.testing import small_space
from flash.testing.small import SMALL
from flash.training.images import ImageSet

torch = pytest.importorskip("torch", reason="needs the extra train")

from image_sets import coloured, write_archive, write_space  # noqa: E402

from flash.backends.torch.module import torch_network  # noqa: E402
from flash.proxies.images import Images  # noqa: E402
from flash.proxies.probe import NoScore, Probe  # noqa: E402
from flash.proxies.sigeo import sigeo, sigeo_terms  # noqa: E402
from flash.proxies.zico import zico  # noqa: E402
from flash.supernet import (  # noqa: E402
    RECIPE,
    WeightBank,
    score_shared,
    score_warm,
    train_supernet,
)
from flash.supernet.binary import binarised, binary_convolution  # noqa: E402
from flash.supernet.warm import WarmProbe  # noqa: E402
from flash.training.batches import Batches  # noqa: E402

SHAPE = InputShape(3, 8, 8)
CELLS = {f"e{k}": (0, 1, 2, 3, 4) for k in range(6)}
TINY = replace(RECIPE, stages=((3, 1.0),), batch=40)


@pytest.fixture(scope="module")
def images():
    return ImageSet("colours", *coloured(150), *coloured(30, 1), classes=("r", "g", "b"))


@pytest.fixture
def cells():
    return small_space("nasbench201", CELLS, {"cells": 1, "channels": 4}, SHAPE, 3)


def task(space, epochs=3):
    sizes = tuple(len(grid) for grid in space.grids)
    gated, empty = gated_variables(space), empty_values(space)
    return Task(sizes, gated, epochs, space.family.classes, steps=3, aside=30, empty=empty)


def shaken(bank):
    """Weights no part of which is as it began, scales and shifts neither."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in bank.names:
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))


# ---------------------------------------------------------------------------------- the bank
@pytest.mark.parametrize("family", sorted(SMALL))
def test_a_path_is_the_network_alone_with_the_same_weights(family):
    settings, variables = SMALL[family]
    space = small_space(family, variables, settings, SHAPE, 4)
    bank, rng = WeightBank(space, 1), np.random.default_rng(0)
    designs = space.sample(6, rng)
    for design in designs:
        bank.module(design)
    shaken(bank)
    batch = torch.from_numpy(rng.standard_normal((5, 3, 8, 8), dtype=np.float32))
    for design in designs:
        path, network = bank.module(design), space.network(design).live()
        if path is None:
            assert not network.layers
            continue
        alone = torch_network(network, bank.weights(design)).train()
        torch.testing.assert_close(path(batch), alone(batch), atol=1e-6, rtol=1e-6)


def test_designs_share_what_has_the_same_place_operation_and_shape(cells):
    bank = WeightBank(cells)
    one, other = np.array([3, 3, 2, 3, 1, 3]), np.array([3, 2, 2, 3, 1, 3])
    first = {bank.names[w] for w in bank.module(one).parameters()}
    second = {bank.names[w] for w in bank.module(other).parameters()}
    apart = first ^ second
    # Edge 1 has 3x3 in the one and 1x1 in the other: kernel, scale and shift of three cells each.
    assert len(apart) == 2 * 3 * 3 and len(first & second) > 40
    none = np.array([3, 0, 2, 3, 1, 3])
    assert {bank.names[w] for w in bank.module(none).parameters()} == first & second


@pytest.mark.parametrize("family", sorted(SMALL))
def test_places_are_the_rows_of_the_layer_table(family):
    settings, variables = SMALL[family]
    space = small_space(family, variables, settings, SHAPE, 4)
    designs = space.sample(40, np.random.default_rng(0))
    rows = int(np.isin(space.table(designs).ops, ("conv", "linear")).sum())
    places = {
        place
        for design in designs
        for name, place in path_of(space, design).places.items()
        if name.rpartition(".")[2].rstrip("0123456789") in ("conv", "linear")
    }
    assert len(places) == rows


def test_the_first_weights_do_not_depend_on_who_needed_them_first(cells):
    one, other = np.array([3, 3, 2, 3, 1, 3]), np.array([3, 2, 2, 3, 1, 3])
    banks = WeightBank(cells, 4), WeightBank(cells, 4)
    banks[1].module(other)
    found = [bank.weights(one) for bank in banks]
    assert found[0].keys() == found[1].keys()
    assert all(np.array_equal(found[0][k], found[1][k]) for k in found[0])
    kernel = found[0]["all.conv0.weight"]
    assert kernel.std() == pytest.approx(math.sqrt(2 / 27), rel=0.2)


def test_a_place_is_that_of_the_call_in_the_familys_code():
    space = small_space("concat", SMALL["concat"][1], SMALL["concat"][0], SHAPE, 4)
    deep, shallow = (space.design({"w1": 4, "d1": d, "t1": 0, "w2": 8, "d2": 3, "t2": 0})
                     for d in (4, 3))  # fmt: skip
    of_deep, of_shallow = path_of(space, deep).places, path_of(space, shallow).places
    assert set(of_shallow.values()) < set(of_deep.values())
    assert len(set(of_deep.values())) == len(of_deep)


# --------------------------------------------------------------------------------- the gates
def test_the_gradient_by_a_gate_is_what_the_loss_does_when_it_turns(cells):
    bank, design = WeightBank(cells), np.array([3, 1, 2, 4, 1, 3])
    module = bank.module(design).double()
    bank.gates = bank.gates.detach().double().requires_grad_()
    rng = np.random.default_rng(0)
    batch = torch.from_numpy(rng.standard_normal((6, 3, 8, 8)))
    labels = torch.from_numpy(rng.integers(3, size=6))

    def loss():
        return torch.nn.functional.cross_entropy(module(batch), labels)

    (gradient,) = torch.autograd.grad(loss(), [bank.gates])
    for edge, operation in enumerate(design):
        turned = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                bank.gates[edge, operation] += step
                turned.append(float(loss()))
                bank.gates[edge, operation] -= step
        want = (turned[0] - turned[1]) / 2e-5
        assert float(gradient[edge, operation]) == pytest.approx(want, rel=1e-4, abs=1e-8)
    drawn = np.zeros((6, 5), dtype=bool)
    drawn[np.arange(6), design] = True
    assert (gradient.numpy()[~drawn] == 0).all() and (gradient.numpy()[drawn] != 0).all()


def test_variables_with_gates_are_those_that_choose_an_operation(cells):
    assert gated_variables(cells) == (True,) * 6
    for family, expected in (("concat", "000000"), ("nasbench_macro", "1" * 8)):
        space = small_space(family, SMALL[family][1], SMALL[family][0], SHAPE, 4)
        assert "".join(str(int(gated)) for gated in gated_variables(space)) == expected
    darts = small_space("darts", SMALL["darts"][1], SMALL["darts"][0], SHAPE, 4)
    assert [n[1] == "o" for n in darts.variables] == list(gated_variables(darts))


# ------------------------------------------------------------------------------ binary cells
def test_the_gradient_of_a_binary_convolution_is_that_worked_out_by_hand():
    rng = np.random.default_rng(0)
    x, w = rng.normal(0, 1, (2, 3, 1, 1)), rng.normal(0, 1, (4, 3, 1, 1))
    up = rng.normal(0, 1, (2, 4))
    part = torch.nn.Conv2d(3, 4, 1, bias=False).double()
    part.weight = torch.nn.Parameter(torch.from_numpy(w))
    given = torch.from_numpy(x).requires_grad_()
    out = binary_convolution(part, given)
    signs, magnitude = np.sign(w)[:, :, 0, 0], np.abs(w).mean((1, 2, 3))
    filters = signs * magnitude[:, None]
    np.testing.assert_allclose(out.detach().numpy()[:, :, 0, 0], np.sign(x)[:, :, 0, 0] @ filters.T)
    (out[:, :, 0, 0] * torch.from_numpy(up)).sum().backward()
    g = up.T @ np.sign(x)[:, :, 0, 0]  # by the binary filters
    along = (g * signs).sum(axis=1, keepdims=True)
    want = magnitude[:, None] * g * (np.abs(w[:, :, 0, 0]) <= 1) + signs / 3 * along
    np.testing.assert_allclose(part.weight.grad.numpy()[:, :, 0, 0], want)
    by_x = (up @ filters) * (np.abs(x[:, :, 0, 0]) <= 1)
    np.testing.assert_allclose(given.grad.numpy()[:, :, 0, 0], by_x)


def test_a_binary_bank_has_binary_filters_inside_cells_alone(cells):
    design = np.array([3, 3, 3, 3, 3, 3])
    plain, binary = WeightBank(cells), WeightBank(cells, binary=True)
    batch = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 8, 8), np.float32))
    assert not torch.allclose(plain.module(design)(batch), binary.module(design)(batch))
    dead = np.array([0, 0, 0, 1, 0, 0])  # a skip alone: no convolution in any cell
    torch.testing.assert_close(plain.module(dead)(batch), binary.module(dead)(batch))
    weight = torch.tensor([[[[0.5]], [[-1.5]]]])
    torch.testing.assert_close(binarised(weight), torch.tensor([[[[1.0]], [[-1.0]]]]))


def test_without_gates_a_network_says_the_same(cells):
    bank, design = WeightBank(cells), np.array([3, 1, 2, 4, 1, 3])
    batch = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 8, 8), np.float32))
    with bank.without_gates():
        plain = bank.module(design)(batch)
    gated = bank.module(design)(batch)
    assert torch.equal(plain, gated)
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(plain.sum(), [bank.gates])
    assert torch.autograd.grad(gated.sum(), [bank.gates])[0].any()


# ------------------------------------------------------------------------------ the samplers
def seen(design, by_gate):
    gradient = np.zeros((6, 5))
    gradient[np.arange(6), design] = by_gate
    return Seen(design, "validation", 1.0, 0.5, gradient)


@pytest.mark.parametrize(("epochs", "steps"), [(4, 20), (30, 312)])
def test_a_logit_goes_as_far_as_in_the_published_search(epochs, steps, cells):
    sampler = SAMPLERS["reinforce"](replace(task(cells, epochs), steps=steps, warmed=True))
    sampler.gradient = lambda one: np.full((6, 5), 0.1)
    for _ in range(epochs * steps // 2):
        sampler.observe(seen(np.zeros(6, dtype=np.int64), 0.0))
    # 40 epochs of 25,000 images in batches of 64, at 3e-4 along a cosine; the gradient keeps its
    # sign, so every step of Adam is the rate.
    count = 40 * 25_000 // 64
    way = sum(3e-4 * (1 + math.cos(math.pi * k / count)) / 2 for k in range(count))
    np.testing.assert_allclose(-sampler.state["theta"], way, rtol=0.03)


def test_advantage_draws_no_empty_operation(cells):
    sampler, rng = SAMPLERS["advantage"](task(cells)), np.random.default_rng(0)
    drawn = np.array([sampler.draw(rng) for _ in range(200)])
    assert set(np.unique(drawn)) == {1, 2, 3, 4}  # 0 is "none"
    assert not empty_values(cells)[:, 1:].any() and empty_values(cells)[:, 0].all()


def test_the_deviation_of_balenas_is_that_of_the_posterior(cells):
    sampler = SAMPLERS["balenas"](replace(task(cells), aside=500))
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        sampler.draw(rng)
        draws.append(sampler.state["alpha"])
    np.testing.assert_allclose(np.std(draws, axis=0), 1.0, rtol=0.1)  # the prior's
    design, alpha = sampler.draw(rng), sampler.state["alpha"]
    sampler.observe(seen(design, 2.0))
    p = np.exp(alpha) / np.exp(alpha).sum(axis=1, keepdims=True)
    drawn = np.eye(5)[design]
    slope = 2.0 * (p * drawn).sum(axis=1, keepdims=True) * (drawn - p)
    mu = sampler.state["mu"].copy()
    draws = []
    for _ in range(2000):
        sampler.draw(rng)
        draws.append(sampler.state["alpha"] - mu)
    np.testing.assert_allclose(np.std(draws, axis=0), (500 * slope**2 + 1) ** -0.5, rtol=0.1)


# ------------------------------------------------------------------------------ the training
@pytest.mark.parametrize("name", ["uniform", "advantage", "bnas", "da-nas"])
def test_a_training_that_was_cut_ends_with_the_same_bits(name, cells, images, tmp_path):
    kind = SAMPLERS[name]

    def run(place, progress=lambda epoch: None):
        bank = WeightBank(cells, 1, binary=kind.binary)
        sampler = kind(task(cells))
        return train_supernet(bank, sampler, images, TINY, 3, checkpoint=place, progress=progress)

    whole = run(None)

    def cut(epoch):
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "s.pt", cut)
    again = run(tmp_path / "s.pt")
    assert again.curve == whole.curve and again.images == whole.images
    states = whole.bank.state(), again.bank.state()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    for key, values in whole.sampler.state.items():
        np.testing.assert_array_equal(values, again.sampler.state[key])
    assert whole.checked == 0 or name != "uniform"


def test_training_lowers_the_loss_of_paths(cells, images):
    bank = WeightBank(cells)
    batches = Batches(images, TINY, torch.device("cpu"))
    designs = [np.array([3, 1, 2, 3, 1, 3]), np.array([1, 3, 3, 2, 4, 2])]
    before = [score_shared(bank, design, batches).loss for design in designs]
    recipe = replace(TINY, stages=((12, 1.0),))
    training = train_supernet(bank, SAMPLERS["uniform"](task(cells, 12)), images, recipe)
    after = [score_shared(bank, design, batches).loss for design in designs]
    assert np.mean(after) < min(np.mean(before), math.log(3) - 0.05)
    assert training.images == 12 * 3 * 40 and training.checked == 0 and len(training.curve) == 12


def test_a_design_without_a_path_is_at_chance(cells, images):
    bank = WeightBank(cells)
    found = score_shared(
        bank, np.zeros(6, dtype=np.int64), Batches(images, TINY, torch.device("cpu"))
    )
    assert (found.accuracy, found.loss) == (pytest.approx(100 / 3), pytest.approx(math.log(3)))
    assert bank.weights(np.zeros(6, dtype=np.int64)) == {}


def test_easy_classes_alone_are_shown_in_between(cells, images):
    sampler = SAMPLERS["da-nas"](task(cells, 8))
    seen = []
    sampler.observe = lambda one: seen.append(one.split)
    training = train_supernet(WeightBank(cells), sampler, images, replace(TINY, stages=((8, 1.0),)))
    # 2 epochs of 3 batches; 5 of the 2 easiest classes, a batch each to train and to validate; 1 of
    # all, 2 batches and 1. Of the 30 validation images 20 are of 2 classes.
    assert seen.count("train") == 2 * 3 + 5 + 2
    assert training.checked == 5 * 20 + 30


# ------------------------------------------------------------------- proxies of warmed weights
def test_sigeo_of_fresh_weights_without_its_other_terms_is_zico(cells):
    network = cells.network(np.array([3, 1, 2, 3, 1, 3]))
    probe = Probe(network, seed=2, batch=8, device="cpu")
    assert sigeo(probe, (1.0, 0.0, 0.0), batches=2) == zico(probe)


def test_sigeo_is_its_three_terms_of_the_warmed_path(cells, images):
    bank, design = WeightBank(cells), np.array([3, 1, 2, 3, 1, 3])
    bank.module(design)
    shaken(bank)
    data = Images(images.train_images, images.train_labels, images.digest)
    probe = WarmProbe(bank, design, seed=0, batch=16, data=data)
    module = torch_network(cells.network(design).live(), bank.weights(design)).train()
    kernels = [p for n, p in module.named_parameters() if p.dim() > 1]
    losses, gradients = [], []
    for draw in range(4):
        batch, labels = probe.labelled(draw)
        loss = torch.nn.functional.cross_entropy(module(batch), labels)
        losses.append(loss.item())
        gradients.append([g.double() for g in torch.autograd.grad(loss, kernels)])
    agreement = product = 0.0
    for kernel, same in zip(kernels, zip(*gradients, strict=True), strict=True):
        same = torch.stack(same)
        spread = same.std(0, correction=0)
        varies = spread > 0
        agreement += float((same.abs().mean(0)[varies] / spread[varies]).sum().log())
        product += float((same.mean(0) * kernel.detach()).sum())
    want = (agreement, math.log(abs(product)), -np.mean(losses))
    assert sigeo_terms(probe) == pytest.approx(want, rel=1e-3)
    assert score_warm(bank, design, "sigeo", images, batch=16) == pytest.approx(sum(want), rel=1e-3)
    with pytest.raises(NoScore, match="weights of its own"):
        score_warm(bank, design, "zen", images, batch=16)


# ------------------------------------------------------------------- what cannot share weights
def test_spaces_that_cannot_share_weights_say_why(tmp_path):
    with pytest.raises(UsageError, match="they are no classifiers"):
        check_sharing(load_space("detector-voc"))
    with pytest.raises(UsageError, match="not every variable chooses an operation"):
        space = load_space(str(write_space(tmp_path)))
        images = ImageSet("colours", *coloured(30), *coloured(9, 1), classes=("r", "g", "b"))
        train_supernet(WeightBank(space), SAMPLERS["advantage"](task(space)), images, TINY)


# ------------------------------------------------------------------------------- the command
def command(*arguments):
    return run_command(search_command.main, list(map(str, arguments)))


@pytest.mark.parametrize("search", ["uniform", "da-nas", "evolution"])
def test_a_search_on_shared_weights_and_its_resumption(search, tmp_path, capsys):
    space, images = write_space(tmp_path), write_archive(tmp_path)
    arguments = (
        "--space", space, "--target", "rpi3b", "--search", search, "--budget", 4,
        "--evaluator", f"supernet:{images}", "--evaluator-epochs", 2, "--candidates", 30,
        "--out", tmp_path / "out", "--json", "-",
    )  # fmt: skip
    assert command(*arguments) == 0
    first = capsys.readouterr()
    assert first.err.count("supernet, epoch") == 2 and "epoch 2 of 2" in first.err
    found = json.loads(first.out)
    assert found["strategy"] == search and 1 <= found["budget"]["spent"] <= 4
    assert found["best"]["trained_accuracy"] == max(e["accuracy"] for e in found["evaluations"])
    assert command(*arguments) == 0
    again = capsys.readouterr()
    assert "epoch" not in again.err  # nothing was trained again
    assert json.loads(again.out)["best"] == found["best"]


def test_a_smaller_space_is_trained_in_place_of_one(tmp_path, capsys):
    text = (load_space("nasbench201"), write_archive(tmp_path))
    whole = tmp_path / "whole.toml"
    values = "\n".join(f"e{k} = [1, {k % 2 + 2}]" for k in range(6))
    form = (
        'schema = "flash.space/1"\nfamily = "nasbench201"\nclasses = 3\nmetric = "rank_score"\n'
        "input = {{ channels = 3, height = {0}, width = {0} }}\n"
        "settings = {{ cells = {1}, channels = {2} }}\n[variables]\n{3}\n"
    )
    whole.write_text(form.format(32, 5, 16, values))
    small = tmp_path / "small.toml"
    small.write_text(form.format(8, 1, 4, values))
    arguments = (
        "--space", whole, "--target", "rpi4b", "--search", "advantage", "--budget", 3,
        "--evaluator", f"supernet:{text[1]}", "--evaluator-epochs", 2,
        "--evaluator-space", small, "--out", tmp_path / "out", "--json", "-",
    )  # fmt: skip
    assert command(*arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["space"]["name"] == "whole" and found["details"]["proposed"] >= 1


@pytest.mark.parametrize(
    ("changed", "said", "code"),
    [
        ({"--search": "advantage"}, "not every variable chooses an operation", 2),
        ({"--search": "ddpnas", "--evaluator": "known.csv"}, "add --evaluator supernet:DATA", 2),
        ({"--search": "advantages"}, "did you mean 'advantage'?", 2),
        ({"--evaluator": "supernet:nowhere"}, "nowhere", 4),
        ({"--evaluator-epochs": "0"}, "--evaluator-epochs", 2),
        ({"--evaluator-epochs": "many"}, "--evaluator-epochs", 2),
        ({"--search": "ddpnas", "--evaluator-epochs": "1"}, "ddpnas needs 2 or more", 2),
        ({"--evaluator-timeout": "9s"}, "--evaluator-timeout is for programs", 2),
        ({"--evaluator-space": "nasbench201"}, "must have the names and values", 2),
        (
            {"--search": "random", "--evaluator": "./train.sh", "--evaluator-space": "nasbench201"},
            "--evaluator-space goes with", 2,
        ),
    ],
)  # fmt: skip
def test_wrong_input_is_one_clear_line(changed, said, code, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {
        "--space": write_space(tmp_path), "--target": "rpi3b", "--search": "uniform",
        "--evaluator": f"supernet:{write_archive(tmp_path)}", "--evaluator-epochs": "2",
        "--budget": "2", "--candidates": "10", "--out": tmp_path / "out",
    } | changed  # fmt: skip
    assert command(*(word for pair in options.items() for word in pair)) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error


def test_without_pytorch_the_message_has_what_installs_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert command(
        "--space", write_space(tmp_path), "--target", "rpi3b", "--search", "uniform",
        "--evaluator", f"supernet:{write_archive(tmp_path)}", "--out", tmp_path / "out",
    ) == 2  # fmt: skip
    assert "pip install" in capsys.readouterr().err
