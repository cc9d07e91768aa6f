"""Each proxy against a computation of its own, and what all of them promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flash.errors import InputError, UsageError
from flash.proxies import AGGREGATES, PROXIES, ingredients
from flash.spaces.network import GraphEmitter
from flash.spaces.space import load_space

torch = pytest.importorskip("torch", reason="needs the extra torch")

from torch.nn import functional as F  # noqa: E402, N812

from flash.metrics.sed import score_network as sed  # noqa: E402
from flash.proxies import aggregate, log_rank, score_network  # noqa: E402
from flash.proxies.az_nas import channel_entropy, transfer_score  # noqa: E402
from flash.proxies.epsinas import fill, spread  # noqa: E402
from flash.proxies.hnas import _kernel, hnas_trace  # noqa: E402
from flash.proxies.images import read_images  # noqa: E402
from flash.proxies.jacob_cov import correlation_score  # noqa: E402
from flash.proxies.meco import smallest_eigenvalue  # noqa: E402
from flash.proxies.naswot import kernel_score  # noqa: E402
from flash.proxies.observing import block_ends, codes_seen  # noqa: E402
from flash.proxies.probe import NoScore, Probe, weight_layers  # noqa: E402
from flash.proxies.swap import distinct_patterns, regularised  # noqa: E402
from flash.proxies.synflow import layer_saliencies  # noqa: E402
from flash.proxies.te_nas import condition_number, distinct_codes  # noqa: E402
from flash.proxies.thin import thin_network  # noqa: E402
from flash.proxies.zico import batches_score  # noqa: E402


def _tiny(classes=5, norm=True):
    e = GraphEmitter()
    source = e.source(3, 8, 8)
    x = e.conv(source, 4, norm=norm)
    x = e.conv(x, 6, stride=2, norm=norm)
    return e.network(source, e.linear(e.global_pool(x), classes))


def _linear_chain():
    """Two 1x1 convolutions without norm or activation: all of it can be computed by hand."""
    e = GraphEmitter()
    source = e.source(2, 3, 3)
    x = e.conv(source, 4, 1, norm=False, act="")
    return e.network(source, e.conv(x, 3, 1, norm=False, act=""))


def _probe(network, batch=6, seed=0):
    return Probe(network, seed=seed, batch=batch, device="cpu")


def _kernels(module):
    parts = [p for p in module.modules() if isinstance(p, torch.nn.Conv2d | torch.nn.Linear)]
    return [p.weight.detach().double().requires_grad_() for p in parts], parts[-1].bias.detach()


def _by_hand(kernels, bias, images, gates=None):
    """The tiny network written out with functional calls, double precision."""
    first, second, last = kernels
    x = F.conv2d(images.double(), first, padding=1)
    x = x if gates is None else x * gates[0]
    x = F.relu(F.batch_norm(x, None, None, training=True))
    x = F.conv2d(x, second, stride=2, padding=1)
    x = x if gates is None else x * gates[1]
    x = F.relu(F.batch_norm(x, None, None, training=True)).mean((2, 3))
    x = F.linear(x, last, bias.double())
    return x if gates is None else x * gates[2]


def _loss(kernels, bias, images, labels, gates=None):
    return F.cross_entropy(_by_hand(kernels, bias, images, gates), labels)


@pytest.fixture
def written_out():
    probe = _probe(_tiny())
    return (*_kernels(probe.module()), *probe.labelled())


def test_grad_norm_and_snip_are_those_of_the_network_written_out(written_out):
    kernels, *rest = written_out
    gradients = torch.autograd.grad(_loss(kernels, *rest), kernels)
    scores = score_network(_tiny(), ["grad_norm", "snip"], batch=6)
    want = sum(math.sqrt(float((g**2).sum())) for g in gradients)
    assert scores["grad_norm"] == pytest.approx(want, rel=1e-4)
    want = sum(float((k.detach() * g).abs().sum()) for k, g in zip(kernels, gradients, strict=True))
    assert scores["snip"] == pytest.approx(want, rel=1e-4)


def test_grasp_is_the_change_of_the_gradient_along_itself(written_out):
    kernels, *rest = written_out

    def gradient(points):
        return torch.autograd.grad(_loss(points, *rest), points)

    along, step = gradient(kernels), 1e-5
    ends = [
        gradient(
            [
                (k + s * step * g).detach().requires_grad_()
                for k, g in zip(kernels, along, strict=True)
            ]
        )
        for s in (1, -1)
    ]
    product = [(a - b) / (2 * step) for a, b in zip(*ends, strict=True)]
    want = -sum(float((k.detach() * h).sum()) for k, h in zip(kernels, product, strict=True))
    assert score_network(_tiny(), ["grasp"], batch=6)["grasp"] == pytest.approx(want, rel=1e-3)


def test_fisher_is_the_squared_gradient_by_a_gate_on_each_channel(written_out):
    kernels, *rest = written_out
    shapes = [(6, 4, 1, 1), (6, 6, 1, 1), (6, 5)]
    gates = [torch.ones(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    by_gate = torch.autograd.grad(_loss(kernels, *rest, gates), gates)
    want = sum(float((g**2).mean(0).sum()) / 2 for g in by_gate)
    assert score_network(_tiny(), ["fisher"], batch=6)["fisher"] == pytest.approx(want, rel=1e-3)


def test_synflow_of_a_chain_is_the_product_of_magnitudes_and_conserved_by_layer():
    probe = _probe(_linear_chain())
    first, second = (
        p.weight.detach().numpy().astype(float)[:, :, 0, 0]
        for p in probe.module().modules()
        if isinstance(p, torch.nn.Conv2d)
    )
    strength = (np.abs(second) @ np.abs(first)).sum()
    layers = [float(s) for s in layer_saliencies(probe)]
    assert layers == pytest.approx([strength, strength], rel=1e-9)
    got = score_network(_linear_chain(), ["synflow"])["synflow"]
    assert got == pytest.approx(math.log(2 * strength), rel=1e-9)


def test_synflow_does_not_see_batch_norms():
    with_norm, without = (
        score_network(_tiny(norm=norm), ["synflow"])["synflow"] for norm in (True, False)
    )
    assert with_norm == pytest.approx(without, rel=1e-12)


def test_correlation_score_is_numpys():
    rows = np.random.default_rng(0).standard_normal((7, 40))
    values = np.linalg.eigvalsh(np.corrcoef(rows))
    want = -np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5))
    assert correlation_score(torch.from_numpy(rows)) == pytest.approx(want, rel=1e-9)
    with pytest.raises(NoScore, match="constant"):
        correlation_score(torch.ones(2, 5))


def test_jacob_cov_takes_the_gradient_of_each_image_by_its_pixels(written_out):
    kernels, bias, images, _ = written_out
    images = images.double().requires_grad_()
    (jacobian,) = torch.autograd.grad(_by_hand(kernels, bias, images).sum(), images)
    got = score_network(_tiny(), ["jacob_cov"], batch=6)["jacob_cov"]
    assert got == pytest.approx(correlation_score(jacobian.flatten(1)), rel=1e-3)


def test_naswot_counts_relus_that_images_set_alike():
    probe = _probe(_tiny())
    codes = []
    codes_seen(probe.module(), probe.images(), codes.append)
    on = torch.cat(codes, dim=1).numpy()
    alike = np.array([[(a == b).sum() for b in on] for a in on], dtype=float)
    want = np.linalg.slogdet(alike)[1]
    assert score_network(_tiny(), ["naswot"], batch=6)["naswot"] == pytest.approx(want, rel=1e-9)


def test_naswot_is_higher_for_codes_further_apart_and_nothing_for_equal_ones():
    near = torch.tensor([[10.0, 9.0], [9.0, 10.0]])
    far = torch.tensor([[10.0, 5.0], [5.0, 10.0]])
    assert kernel_score(far) > kernel_score(near)
    with pytest.raises(NoScore, match="same ReLU code"):
        kernel_score(torch.ones(2, 2))


def test_patterns_and_codes_are_counted_once_each(rng):
    codes = rng.random((5, 300)) < 0.3
    assert distinct_patterns(torch.from_numpy(codes)) == len(np.unique(codes.T, axis=0))
    assert distinct_codes(torch.from_numpy(codes.T.copy())) == len(np.unique(codes.T, axis=0))
    assert distinct_patterns(torch.from_numpy(rng.random((63, 50)) < 0.5)) == 50


def test_regularised_swap_is_swap_at_the_preferred_size_and_falls_off():
    assert regularised(100.0, 1.0, mu=1.0, sigma=0.5) == 100.0
    assert regularised(100.0, 2.0, mu=1.0, sigma=0.5) == pytest.approx(100 * math.exp(-2))


def test_zen_of_a_linear_network_is_the_mean_change_of_its_output():
    network = _linear_chain()
    want = []
    for draw in range(4):
        probe = _probe(network)
        first, second = (
            p.weight.detach().numpy()[:, :, 0, 0]
            for p in probe.module("normal", draw).modules()
            if isinstance(p, torch.nn.Conv2d)
        )
        moved = probe.noise((6, 2, 3, 3), "zen disturbance", draw).numpy()
        change = np.einsum("oc,nchw->nohw", second @ first, 0.01 * moved)
        want.append(np.log(np.abs(change).sum((1, 2, 3)).mean()))
    got = score_network(network, ["zen"], batch=6)["zen"]
    assert got == pytest.approx(np.mean(want), rel=1e-3)


def test_zen_adds_the_scale_that_a_batch_norm_takes_away():
    e = GraphEmitter()
    source = e.source(2, 3, 3)
    bare = e.network(source, e.conv(source, 4, 1, norm=False, act=""))
    e = GraphEmitter()
    source = e.source(2, 3, 3)
    normed = e.network(source, e.conv(source, 4, 1, act=""))
    scores = [score_network(n, ["zen"], batch=64)["zen"] for n in (bare, normed)]
    assert scores[0] == pytest.approx(scores[1], abs=0.3)


def test_zico_is_numpys_and_leaves_out_what_does_not_vary():
    rng = np.random.default_rng(3)
    first, second = rng.standard_normal((2, 30))
    first[:3] = second[:3]
    both = np.stack([first, second])[:, 3:]
    want = np.log((np.abs(both).mean(0) / both.std(0)).sum())
    batches = [[torch.from_numpy(first)], [torch.from_numpy(second)]]
    assert batches_score(batches) == pytest.approx(want, rel=1e-9)
    with pytest.raises(NoScore, match="varies"):
        batches_score([[torch.ones(3)], [torch.ones(3)]])


def test_channel_entropy_is_log_c_for_independent_channels_and_0_for_equal_ones():
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 5, 40, 40)))
    assert channel_entropy(noise) == pytest.approx(math.log(5), abs=1e-3)
    assert channel_entropy(noise[:, :1].expand(-1, 5, -1, -1)) == pytest.approx(0, abs=1e-6)


def test_transfer_is_best_for_a_block_that_keeps_the_gradient():
    signs = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (8, 4, 20, 20)))
    assert transfer_score(signs, signs) == pytest.approx(0, abs=0.02)
    norm = float(np.linalg.norm(np.eye(4) * 3, 2))
    assert transfer_score(3 * signs, signs) == pytest.approx(2 - norm - 1 / norm, abs=0.1)
    shrunk = torch.nn.functional.pixel_shuffle(signs, 2)
    assert transfer_score(shrunk, signs) == pytest.approx(0, abs=0.02)


def test_smallest_eigenvalue_is_numpys():
    rows = np.random.default_rng(1).standard_normal((4, 30))
    want = np.linalg.eigvalsh(np.corrcoef(rows))[0]
    assert smallest_eigenvalue(torch.from_numpy(rows)) == pytest.approx(want, rel=1e-9)
    rows[1] = 2 * rows[0] + 1
    assert smallest_eigenvalue(torch.from_numpy(rows)) == pytest.approx(0, abs=1e-9)


def test_spread_compares_outputs_scaled_to_one():
    first, second = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 10.0, 20.0])
    # Scaled: 0, 1/2, 1 and 0, 0, 1.
    assert spread(first, second) == pytest.approx((0.5 / 3) / ((0.5 + 1 / 3) / 2), rel=1e-6)
    with pytest.raises(NoScore, match="same"):
        spread(first, torch.ones(3))


def test_epsinas_sets_the_scales_of_batch_norms_to_the_weight_as_well():
    module = _probe(_tiny()).module()
    fill(module, 1e-3)
    values = {name: set(p.detach().flatten().tolist()) for name, p in module.named_parameters()}
    assert len(values) == 8  # two convolutions, two norms of two parts, a linear layer of two
    small = {float(np.float32(1e-3))}
    assert all(v == ({0.0} if name.endswith("bias") else small) for name, v in values.items())


def test_epsinas_prefers_convolutions_beside_shortcuts_to_shortcuts_alone():
    """With the smaller weight only the shortcut is left, with the larger both branches."""

    def score(branches):
        e = GraphEmitter()
        source = e.source(3, 8, 8)
        x = e.conv(source, 4)
        for _ in range(3):
            x = e.add([x, *(e.conv(x, 4, act="relu") for _ in range(branches))])
        network = e.network(source, e.linear(e.global_pool(x), 5))
        return score_network(network, ["epsinas"], batch=16)["epsinas"]

    assert score(2) > score(0)


def test_sed_jacob_ranks_by_the_description_and_the_jacobian_together():
    networks = [_tiny(), _linear_chain(), _tiny(7)]
    found = [score_network(network, ["sed_jacob"], batch=6) for network in networks]
    assert [set(one) for one in found] == [{"described_rank", "described_sed", "jacob_cov"}] * 3
    assert [one["described_sed"] for one in found] == [sed(n.live()).sed for n in networks]
    assert [one["described_rank"] for one in found] == [sed(n.live()).rank_score for n in networks]
    columns = {
        "described_rank": np.array([3.0, 1.0, 2.0]), "described_sed": np.array([3.0, 2.0, 1.0]),
        "jacob_cov": np.array([-9.0, -4.0, -7.0]),
    }  # fmt: skip
    want = np.log([3 * 3 * 1, 1 * 2 * 3, 2 * 1 * 2]) - 3 * np.log(3)
    np.testing.assert_allclose(aggregate("sed_jacob", columns), want)


def test_tangent_kernel_of_a_linear_model_is_the_images_gram_matrix():
    e = GraphEmitter()
    source = e.source(2, 2, 2)
    network = e.network(source, e.linear(source, 3))
    images = _probe(network, 4).images().flatten(1).double()
    values = np.linalg.eigvalsh((images @ images.T).numpy())
    scores = score_network(network, ["ntk_condition", "hnas_trace"], batch=4)
    assert scores["ntk_condition"] == pytest.approx(values[-1] / values[0], rel=1e-4)
    want = math.sqrt(float(images.square().sum()) / 4 + 1)  # 1: the bias
    assert scores["hnas_trace"] == pytest.approx(want, rel=1e-5)
    both = score_network(network, ["hnas_condition", "hnas_trace"], batch=4)
    assert both["hnas_trace"] == scores["hnas_trace"]
    # Gradients of the labelled class's score: its own row of the matrix has the image, others none.
    _, labels = _probe(network, 4).labelled()
    same = (labels[:, None] == labels).numpy()
    values = np.linalg.eigvalsh((images @ images.T + 1).numpy() * same)
    assert both["hnas_condition"] == pytest.approx(values[-1] / values[0], rel=1e-4)
    with pytest.raises(NoScore, match="singular"):
        condition_number(torch.ones(2, 2))


@pytest.mark.parametrize("norm", [False, True])
def test_hnas_has_each_images_part_of_one_backward_pass(norm):
    e = GraphEmitter()
    source = e.source(2, 6, 6)
    x = e.conv(source, 4, norm=norm)
    x = e.conv(x, 4, groups=4, norm=norm, bias=not norm, act="")
    x = e.conv(e.activation(x), 8, stride=2, norm=norm)
    network = e.network(source, e.linear(e.global_pool(x), 3))
    probe = _probe(network, 5)
    kernel = _kernel(probe)
    images, labels = probe.labelled()
    module = probe.module()
    weights = [w for layer in weight_layers(module) for w in layer.parameters()]
    scores = module(images)[torch.arange(5), labels]
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(s, weights, retain_graph=True)])
        for s in scores
    ]
    gradients = torch.stack(rows).double()
    # The parts of all images are the gradient of the sum; without norms each is its own gradient.
    assert float(kernel.sum()) == pytest.approx(float(gradients.sum(0).square().sum()), rel=1e-4)
    exact = gradients @ gradients.T
    assert torch.allclose(kernel, exact, rtol=1e-4, atol=1e-6) == (not norm)
    assert hnas_trace(probe) == pytest.approx(math.sqrt(float(kernel.trace()) / 5))


def test_thin_copy_has_the_layers_of_the_network_and_few_channels(space, rng):
    (design,) = space.sample(1, rng)
    network = space.network(design).live()
    thin = thin_network(network, 16, 8)
    assert [layer.op for layer in thin.layers if layer.op in ("conv", "linear")] == [
        layer.op for layer in network.layers if layer.op in ("conv", "linear")
    ]
    assert thin.params < network.params
    assert thin.output.channels == network.output.channels


# ------------------------------------------------------------------------- what all promise


def _cell(name="nor_conv_3x3"):
    space = load_space("nasbench201")
    text = f"|{name}~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    return space.network(space.design(space.family.parse(text)))


def test_blocks_of_a_cell_network_are_stem_cells_and_reductions():
    assert len(block_ends(_cell().live())) == 1 + 15 + 2


def test_blocks_of_a_network_without_cells_are_where_one_tensor_is_alive():
    e = GraphEmitter()
    source = e.source(3, 8, 8)
    x = e.conv(source, 4)
    y = e.conv(x, 4)
    z = e.add([e.conv(y, 4), x])
    network = e.network(source, e.linear(e.global_pool(z), 5))
    assert block_ends(network) == [0, 3]


def _smallest(space):
    return np.zeros(len(space.grids), dtype=np.int64)


def test_the_networks_of_every_family_can_be_scored(space):
    # The smallest designs, and few proxies: the others take seconds each.
    names = ["synflow", "naswot", "snip", "az_trainability", "meco"]
    network = _cell() if space.name == "nasbench201" else space.network(_smallest(space))
    scores = score_network(network, names[:2] if network.source.height > 32 else names, batch=2)
    assert scores.failures == {}


def test_every_proxy_scores_a_network_the_same_for_the_same_seed():
    e = GraphEmitter()
    source = e.source(3, 8, 8)
    x = e.conv(source, 32)
    x = e.conv(e.add([e.conv(x, 32), x]), 64, stride=2)
    network = e.network(source, e.linear(e.global_pool(x), 5))
    first = score_network(network, PROXIES, seed=1, batch=8)
    assert first.failures == {}
    assert first == score_network(network, PROXIES, seed=1, batch=8)


def test_scores_depend_on_the_seed_and_not_on_what_was_scored_before():
    names = ("snip", "naswot", "az_trainability")
    together = score_network(_tiny(), names, batch=4)
    torch.manual_seed(99)
    apart = {name: score_network(_tiny(), [name], batch=4)[name] for name in names}
    assert together == apart
    other = score_network(_tiny(), names, batch=4, seed=1)
    assert all(other[name] != together[name] for name in names)


def test_dead_branches_do_not_count():
    space = load_space("nasbench201")
    text = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    network = space.network(space.design(space.family.parse(text)))
    names = ["az_complexity", "synflow"]
    dead, live = (score_network(n, names) for n in (network, network.live()))
    assert dead == live
    assert len(network.live().layers) < len(network.layers)


def test_a_network_that_cannot_be_scored_gets_a_reason():
    e = GraphEmitter()
    source = e.source(3, 4, 4)
    pooled = e.network(source, e.global_pool(source))
    scores = score_network(pooled, ["snip", "zico"], batch=2)
    assert all(math.isnan(value) for value in scores.values())
    assert scores.failures["snip"] == "the network has no convolution and no linear layer"
    scores = score_network(_linear_chain(), ["naswot"], batch=2)
    assert scores.failures["naswot"] == "the network has no ReLU or similar activation"
    e = GraphEmitter()
    source = e.source(3, 4, 4)
    dead = e.network(source, e.zeros(source))
    assert "no path" in score_network(dead, ["snip"], batch=2).failures["snip"]


def test_wrong_arguments_are_told():
    with pytest.raises(UsageError, match=r"unknown proxy 'nasswot' \(did you mean 'naswot'\?\)"):
        score_network(_tiny(), ["nasswot"])
    with pytest.raises(UsageError, match="2 images or more"):
        score_network(_tiny(), ["snip"], batch=1)
    with pytest.raises(UsageError, match="unknown device 'tpu'"):
        score_network(_tiny(), ["snip"], device="tpu")


def test_aggregates_put_ranks_together():
    scores = {
        "ntk_condition": np.array([10.0, 1.0, np.nan]),
        "linear_regions": np.array([5.0, 9.0, 7.0]),
    }
    # Ranks of -condition: 2, 3, 1; of regions: 1, 3, 2.
    assert aggregate("te_nas", scores).tolist() == [3.0, 6.0, 3.0]
    want = np.log([2 / 3 * 1 / 3, 1.0, 1 / 3 * 2 / 3])
    both = [-scores["ntk_condition"], scores["linear_regions"]]
    assert log_rank(both) == pytest.approx(want)


def test_ingredients_are_each_proxy_once():
    assert ingredients(["te_nas", "ntk_condition", "snip"]) == (
        "linear_regions", "snip", "ntk_condition",
    )  # fmt: skip
    assert set(AGGREGATES["az_nas"].members) == set(ingredients(["az_nas"]))


# -------------------------------------------------------------------------------- real images


def test_real_images_are_normalised_and_change_the_score(tmp_path, rng):
    images = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=rng.integers(0, 5, 40))
    data = read_images(tmp_path / "a.npz")
    pixels = data.pixels(np.arange(40))
    assert pixels.shape == (40, 3, 8, 8)
    assert pixels.mean((0, 2, 3)) == pytest.approx([0, 0, 0], abs=1e-3)
    assert pixels.std((0, 2, 3)) == pytest.approx([1, 1, 1], rel=1e-3)
    given = score_network(_tiny(), ["snip"], batch=6, data=data)
    assert given != score_network(_tiny(), ["snip"], batch=6)
    assert given == score_network(_tiny(), ["snip"], batch=6, data=data)


def test_images_that_do_not_fit_are_refused(tmp_path, rng):
    images = rng.integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(4) + 9)
    with pytest.raises(UsageError, match="the images are 3x8x6; the network reads 3x8x8"):
        score_network(_tiny(), ["snip"], batch=3, data=read_images(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", pixels=images)
    with pytest.raises(InputError, match="expected the arrays images and labels"):
        read_images(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_text("no archive")
    with pytest.raises(InputError, match="no .npy or .npz file"):
        read_images(tmp_path / "c.npz")


def test_jpeg_images_are_decoded(tmp_path):
    image = pytest.importorskip("PIL.Image")
    import io

    files = []
    for value in (0, 200):
        stream = io.BytesIO()
        image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(stream, "JPEG")
        files.append(np.frombuffer(stream.getvalue(), np.uint8))
    offset = np.cumsum([0, *map(len, files)])
    packed = {"jpeg": np.concatenate(files), "offset": offset, "label": np.array([0, 1])}
    np.savez(tmp_path / "a.npz", **packed)
    data = read_images(tmp_path / "a.npz")
    assert data.array[:, 0, 0, 0].tolist() == [0, 200]


def test_the_volume_of_signs_is_the_determinant_of_a_small_matrix():
    from flash.proxies.eznas_a import sign_volume

    # Signs [[1, -1], [1, 1]]: determinant 2, so sigmoid(log 2) = 2/3.
    positive = torch.tensor([[0.3, -2.0], [5.0, 0.1]])
    assert sign_volume(positive[None, None]) == pytest.approx(2 / 3)
    # A negative determinant counts as 0, a half; none as minus infinity, nothing.
    negative, singular = positive.flip(0), torch.ones(2, 2)
    three = torch.stack([positive, negative, singular])[None]
    assert sign_volume(three) == pytest.approx((4 / 9 + 1 / 4) ** 0.5)


def test_the_participation_ratio_counts_directions():
    from flash.proxies.intrain import participation_ratio

    noise = torch.randn(4, 6, 32, 32, generator=torch.Generator().manual_seed(0))
    assert participation_ratio(noise) == pytest.approx(6, rel=0.02)
    same = noise[:, :1].expand(4, 6, 32, 32) + 3.0
    assert participation_ratio(same) == pytest.approx(1)
