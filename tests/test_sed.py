"""SED and isometry: Monte Carlo checks of each step, and the sanity set."""

from __future__ import annotations

import numpy as np
import pytest

from flash.metrics.sed import maps, score_network
from flash.metrics.sed.cells import cell_numbers, score_cells
from flash.metrics.sed.graph import trace
from flash.metrics.sed.isometry import isometry
from flash.metrics.sed.paths import path_shares
from flash.spaces.network import GraphEmitter
from flash.spaces.space import load_space

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NONE, SKIP, CONV1, CONV3, POOL = range(5)


# ------------------------------------------------------------------ Monte Carlo, step by step
# Random fields on the same periodic patch, transformed by the real operation; numpy only.


def fields(number, rho, rng):
    """Gaussian fields with correlation rho ** distance, unit variance."""
    steps = np.minimum(np.arange(maps.PATCH), maps.PATCH - np.arange(maps.PATCH))
    spectrum = np.fft.fft2(rho ** np.hypot(steps[:, None], steps[None])).real.clip(0)
    spectrum /= spectrum.mean()
    white = np.fft.fft2(rng.standard_normal((number, maps.PATCH, maps.PATCH)))
    return np.fft.ifft2(white * np.sqrt(spectrum)).real


def empirical(x):
    """Autocovariance at the lags of the half patch, mean removed, axes reversible, flat."""
    x = x - x.mean()
    power = np.mean(np.abs(np.fft.fft2(x)) ** 2, axis=0)
    power = (power + np.roll(power[::-1], 1, axis=0)) / 2
    return (np.fft.ifft2(power).real / x.shape[-1] ** 2)[: maps.LAGS, : maps.LAGS].ravel()


def box(x, kernel):
    shifts = range(-((kernel - 1) // 2), kernel // 2 + 1)
    return sum(np.roll(x, (i, j), (-2, -1)) for i in shifts for j in shifts) / kernel**2


def convolve(x, kernel, rng, channels=12):
    """Random convolution, (n, channels, h, w) -> the same shape, unit variance a channel."""
    y = np.zeros((x.shape[0], channels, *x.shape[2:]))
    for i in range(kernel):
        for j in range(kernel):
            weights = rng.standard_normal((channels, x.shape[1]))
            y += np.einsum("dc,nchw->ndhw", weights, np.roll(x, (i, j), (-2, -1)))
    return (y - y.mean((0, 2, 3), keepdims=True)) / y.std((0, 2, 3), keepdims=True)


@pytest.mark.parametrize("rho", [0.95, 0.6])
def test_relu_does_to_a_random_field_what_the_closed_form_says(rho, rng):
    x = fields(20_000, rho, rng)
    assert empirical(np.maximum(x, 0)) == pytest.approx(maps.relu(empirical(x)), abs=0.012)


@pytest.mark.parametrize("kernel", [2, 3])
def test_average_pooling_is_the_square_of_its_transfer_function(kernel, rng):
    x = fields(500, 0.6, rng)
    operator = maps.route_operator(frozenset({((kernel, kernel),)}))
    assert empirical(box(x, kernel)) == pytest.approx(empirical(x) @ operator, abs=1e-9)


@pytest.mark.parametrize("kernel", [1, 3])
def test_random_convolution_keeps_the_autocorrelation_whatever_its_kernel(kernel, rng):
    x = fields(96 * 64, 0.8, rng).reshape(96, 64, maps.PATCH, maps.PATCH)
    found = empirical(convolve(x, kernel, rng, channels=64).reshape(-1, maps.PATCH, maps.PATCH))
    assert found == pytest.approx(maps.correlation(empirical(x.reshape(-1, 8, 8))), abs=0.08)


def test_stride_keeps_every_second_lag(rng):
    x = fields(20_000, 0.6, rng)
    kept = x[:, ::2, ::2]
    power = np.mean(np.abs(np.fft.fft2(kept)) ** 2, axis=0)
    found = (np.fft.ifft2(power).real / kept.shape[-1] ** 2)[:2, :2].ravel()
    expected = maps.resample(maps.correlation(empirical(x)), 2).reshape(maps.LAGS, -1)
    assert found == pytest.approx(expected[:2, :2].ravel(), abs=0.03)


def test_branches_with_an_ancestor_add_in_amplitude_and_others_in_power(rng):
    x, z = fields(20_000, 0.6, rng), fields(20_000, 0.9, rng)
    shared = maps.route_operator(frozenset({(), ((3, 3),)}))
    assert empirical(x + box(x, 3)) == pytest.approx(empirical(x) @ shared, abs=1e-9)
    assert empirical(x + z) == pytest.approx(empirical(x) + empirical(z), abs=0.05)


def test_window_entropy_is_that_of_sampled_windows_known_to_the_noise_floor(rng):
    x = fields(40_000, 0.8, rng)
    windows = x[:, :3, :3].reshape(len(x), 9)
    sampled = 0.5 * np.linalg.slogdet(np.eye(9) + maps.GAMMA * np.cov(windows.T))[1]
    found = maps.window_entropy(maps.correlation(empirical(x)), 3, 3)
    assert found == pytest.approx(sampled, abs=0.06)


@pytest.mark.parametrize("shape", [(1, 7), (2, 2), (3, 3), (5, 5), (7, 7), (11, 11)])
def test_windows_split_by_symmetry_have_the_entropy_of_the_whole(shape):
    y, x = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    lag = [np.abs(p[:, None] - p[None]) % maps.PATCH for p in (y, x)]
    lag = [np.minimum(d, maps.PATCH - d) for d in lag]
    sigma = maps.IMAGE[lag[0] * maps.LAGS + lag[1]]
    whole = 0.5 * np.linalg.slogdet(np.eye(len(sigma)) + maps.GAMMA * sigma)[1]
    assert maps.window_entropy(maps.IMAGE, *shape) == pytest.approx(whole, rel=1e-10)


def test_a_concat_mixes_the_statistics_of_its_pieces_in_a_random_convolution(rng):
    smooth = fields(64 * 48, 0.95, rng).reshape(64, 48, 8, 8)
    rough = fields(64 * 16, 0.3, rng).reshape(64, 16, 8, 8)
    found = empirical(
        convolve(np.concatenate([smooth, rough], axis=1), 3, rng, 64).reshape(-1, 8, 8)
    )
    mean = (48 * empirical(smooth.reshape(-1, 8, 8)) + 16 * empirical(rough.reshape(-1, 8, 8))) / 64
    assert found == pytest.approx(maps.correlation(mean), abs=0.08)


def test_a_concat_has_no_more_rank_than_the_maps_it_is_made_of(rng):
    e = GraphEmitter()
    source = e.source(3, 16, 16)
    a, b = (e.conv(source, 4, act="") for _ in range(2))
    total = e.add([a, b])
    joined = e.concat([a, b, total])
    out = e.conv(joined, 12)
    found = trace(e.network(source, out))
    samples = rng.standard_normal((2, 4, 500))
    stacked = np.concatenate([samples[0], samples[1], samples[0] + samples[1]])
    assert found.maps[int(joined.producer)].rank == np.linalg.matrix_rank(stacked) == 8


def test_gradient_energy_through_relu_convolution_and_batch_norm(rng):
    width, batch, scale = 300, 300, 1.7
    x = scale * rng.standard_normal((batch, width))
    weights = rng.standard_normal((width, width))
    y = np.maximum(x, 0) @ weights
    normed = (y - y.mean(0)) / y.std(0)
    g = rng.standard_normal((batch, width))
    back = (g - g.mean(0) - normed * (g * normed).mean(0)) / y.std(0)
    found = ((back @ weights.T * (x > 0)) ** 2).mean() / (g**2).mean()
    assert found == pytest.approx(maps.RELU_GAIN / scale**2, rel=0.04)


def test_three_random_cells_have_the_variance_and_correlation_of_the_closed_form(rng):
    operations = (CONV3, POOL, CONV1, SKIP, POOL, CONV3)
    space = load_space("nasbench201")
    network = space.network(np.array(operations))
    found = trace(network)
    outputs = [
        found.maps[n]
        for n in found.live.articulations
        if n >= 0 and network.layers[n].op == "add" and network.layers[n].cell in (0, 1, 2)
    ]
    # The stem's output is the image's; simulate the same three cells with random weights.
    x = fields(80 * 24, maps.RHO, rng).reshape(80, 24, 8, 8)
    for expected in outputs:
        nodes = [x]
        for node in (1, 2, 3):
            total = np.zeros_like(x)
            for (start, end), op in zip(EDGES, operations, strict=True):
                if end == node:
                    total += _operate(nodes[start], op, rng)
            nodes.append(total)
        x = nodes[-1]
        centred = x - x.mean((0, 2, 3), keepdims=True)
        covariance = empirical(centred.reshape(-1, 8, 8))
        assert covariance[0] == pytest.approx(expected.covariance[0], rel=0.2)
        assert maps.correlation(covariance)[1] == pytest.approx(
            maps.correlation(expected.covariance)[1], abs=0.06
        )
    assert len(outputs) == 3


def _operate(x, op, rng):
    if op == NONE:
        return 0
    if op == SKIP:
        return x
    if op == POOL:
        return box(x, 3)
    return convolve(np.maximum(x, 0), 1 if op == CONV1 else 3, rng, x.shape[1])


# ------------------------------------------------------------------------------------- sanity


@pytest.fixture(scope="module")
def table():
    return score_cells(5, 16, 32, 32)


@pytest.fixture(scope="module")
def cells():
    return np.arange(5**6)[:, None] // 5 ** np.arange(5, -1, -1) % 5


def _live(cells):
    """Live operations, path by path: an edge is live if one of the four paths has no none."""
    on = np.zeros(cells.shape, dtype=bool)
    for path in ((3,), (0, 4), (1, 5), (0, 2, 5)):
        whole = (cells[:, path] != NONE).all(axis=1)
        for e in path:
            on[:, e] |= whole
    return on


def test_dead_operations_score_as_if_absent(table, cells):
    pruned = np.where(_live(cells), cells, NONE)
    numbers = cell_numbers(pruned)
    assert len(np.unique(numbers)) == 9445
    assert np.array_equal(table.rank_score, table.rank_score[numbers])
    dead = pruned.sum(axis=1) == 0
    assert dead.any() and (table.sed[dead] == 0).all() and (table.sed[~dead] > 0).all()


def test_a_dead_branch_of_any_graph_changes_nothing():
    def network(extra):
        e = GraphEmitter()
        source = e.source(3, 16, 16)
        x = e.conv(source, 8)
        if extra:
            e.conv(x, 64, 5)
        return e.network(source, e.conv(x, 8))

    assert score_network(network(True)) == score_network(network(False))


def test_a_network_without_a_live_path_scores_zero():
    network = load_space("nasbench201").network(np.zeros(6, dtype=np.int64))
    assert score_network(network).rank_score == 0


def test_isomorphic_cells_score_the_same(table, cells):
    free = cells[cells[:, 2] == NONE]
    swapped = free[:, [1, 0, 2, 3, 5, 4]]  # nodes 1 and 2 change names
    a, b = cell_numbers(free), cell_numbers(swapped)
    assert table.sed[a] == pytest.approx(table.sed[b], rel=1e-9)
    assert table.rank_score[a] == pytest.approx(table.rank_score[b], rel=1e-9)


def test_a_duplicate_skip_never_raises_sed_nor_rank_score(table, cells):
    pruned = cells[(np.where(_live(cells), cells, NONE) == cells).all(axis=1)]
    pairs = 0
    for e, path in ((3, (0, 4)), (3, (1, 5)), (3, (0, 2, 5)), (1, (0, 2)), (4, (2, 5))):
        here = (pruned[:, e] == NONE) & (pruned[:, path] == SKIP).all(axis=1)
        before, after = pruned[here], pruned[here].copy()
        after[:, e] = SKIP
        a, b = cell_numbers(before), cell_numbers(after)
        assert (table.sed[b] <= table.sed[a] * (1 + 1e-9)).all()
        assert (table.rank_score[b] <= table.rank_score[a] * (1 + 1e-9)).all()
        pairs += len(before)
    assert pairs > 200


def test_a_wider_kernel_never_lowers_sed(table, cells):
    for e in range(6):
        small = cells[cells[:, e] == CONV1]
        large = small.copy()
        large[:, e] = CONV3
        a, b = cell_numbers(small), cell_numbers(large)
        assert (table.sed[b] >= table.sed[a]).all()
        live = _live(small)[:, e]
        assert (table.sed[b] > table.sed[a])[live].all()


@pytest.mark.parametrize("kernels", [(1, 3), (3, 5), (5, 7)])
def test_a_wider_depthwise_kernel_raises_sed(kernels):
    def sed(kernel):
        e = GraphEmitter()
        source = e.source(3, 32, 32)
        x = e.conv(e.conv(source, 16), 96, 1)
        x = e.conv(x, 96, kernel, groups=96)
        return score_network(e.network(source, e.conv(x, 16, 1))).sed

    assert sed(kernels[1]) > sed(kernels[0])


def test_expanding_channels_by_a_pointwise_convolution_adds_nothing_to_read():
    def read_rank(expansion):
        e = GraphEmitter()
        source = e.source(3, 32, 32)
        x = e.conv(e.conv(source, 16), 16 * expansion, 1)
        network = e.network(source, e.conv(x, 16, 3, groups=16 * expansion))
        return trace(network).maps[int(x.producer)].rank

    assert read_rank(2) == read_rank(6) == 16


def _residual(act):
    e = GraphEmitter()
    source = e.source(3, 32, 32)
    x = e.conv(source, 16, act=act)
    for _ in range(3):
        y = x if act else e.activation(x)
        x = e.add([x, e.conv(e.conv(y, 16), 16, act="")], act=act)
    return trace(e.network(source, x))


def test_identity_shortcuts_make_isometry():
    # By hand: a block gains 1 + (pi / (pi - 1))^2 / v, v = 1, 2, 3 the variance it reads.
    gains = [1 + (np.pi / (np.pi - 1)) ** 2 / v for v in (3, 2, 1)]
    expected = sum(1 / carried for carried in np.cumprod(gains)) / 3
    assert isometry(_residual("")) == pytest.approx(expected, rel=1e-12)


def test_a_relu_after_a_sum_leaves_the_identity_what_it_does_not_bend():
    found = _residual("relu")
    assert 0 < isometry(found) < isometry(_residual(""))
    # The running sum moves away from the kink: less and less of it is bent.
    linear = [found.rectifies(n).linear for n in found.live.articulations if n > 0][-3:]
    assert maps.RELU_LINEAR < linear[0] < linear[1] < linear[2] < 1


def test_the_stream_of_a_rectified_residual_network_is_the_simulated_one(rng):
    """x <- relu(x + f), f of unit variance: mean, variance and linear share, block by block."""
    found = _residual("relu")
    ends = [n for n in found.live.articulations if n > 0][-3:]
    x = np.maximum(rng.standard_normal(400_000), 0)
    for number in ends:
        y = x + rng.standard_normal(len(x))
        x = np.maximum(y, 0)
        expected = found.maps[number]
        assert x.mean() == pytest.approx(expected.mean, rel=0.03)
        assert x.var() == pytest.approx(expected.covariance[0], rel=0.2)  # not quite Gaussian
        linear = np.corrcoef(x, y)[0, 1] ** 2
        assert linear == pytest.approx(found.rectifies(number).linear, abs=0.05)
        assert (y > 0).mean() == pytest.approx(found.rectifies(number).active, abs=0.03)


@pytest.mark.parametrize("mean", [0.0, 0.5, 1.5])
def test_relu_of_a_field_with_a_mean_does_what_the_closed_form_says(mean, rng):
    x = fields(20_000, 0.8, rng)
    covariance, left = maps.rectified(empirical(x), mean)
    y = np.maximum(x + mean, 0)
    assert empirical(y) == pytest.approx(covariance, abs=0.02)
    assert y.mean() == pytest.approx(left.mean, abs=0.02)
    assert np.corrcoef(x.ravel(), y.ravel())[0, 1] ** 2 == pytest.approx(left.linear, abs=0.02)


# ------------------------------------------------- Monte Carlo: shares, gates, depth over width


def test_a_gate_leaves_the_correlations_of_its_map_unchanged(rng):
    x = fields(20_000, 0.8, rng)
    gate = 1 / (1 + np.exp(-2 * rng.standard_normal((len(x), 1, 1))))
    found = maps.correlation(empirical(x * gate))
    assert found == pytest.approx(maps.correlation(empirical(x)), abs=0.03)


def test_correlations_of_two_maps_multiply_in_their_product(rng):
    x, z = fields(20_000, 0.8, rng), fields(20_000, 0.6, rng)
    expected = maps.correlation(empirical(x)) * maps.correlation(empirical(z))
    assert maps.correlation(empirical(x * z)) == pytest.approx(expected, abs=0.03)


def test_shares_of_a_sum_are_the_squared_correlations_with_its_sources(rng):
    """x + f(x) and x again: however it is written, f has the share that it has of the total."""
    shares = []
    for order in (0, 1):
        e = GraphEmitter()
        source = e.source(3, 32, 32)
        x = e.conv(source, 16, act="")
        f, g = (e.conv(e.activation(x), 16, act="") for _ in range(2))
        total = e.add([e.add([x, f]), g]) if order else e.add([x, f, g])
        found = trace(e.network(source, e.conv(e.activation(total), 16)))
        shares.append([path_shares(found)[int(y.producer)] for y in (f, g)])
    assert shares[0] == pytest.approx(shares[1], rel=1e-12)
    x = fields(4_000, maps.RHO, rng).reshape(-1, 8, 8, 8)
    read = np.maximum(x, 0)
    f, g = convolve(read, 3, rng, 8), convolve(read, 3, rng, 8)
    total = x / x.std() + f + g
    for branch, share in zip((f, g), shares[0], strict=True):
        assert np.corrcoef(branch.ravel(), total.ravel())[0, 1] ** 2 == pytest.approx(
            share, abs=0.06
        )


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_energy_of_one_input_fluctuates_by_depth_over_width(share, rng):
    """log |x_L|^2 of random linear layers: variance near 2 x sum of share (2 - share) / n."""
    width, depth, draws = 64, 12, 400
    logs = []
    for _ in range(draws):
        x = rng.standard_normal(width)
        for _ in range(depth):
            y = rng.standard_normal((width, width)) @ x / np.sqrt(width)
            x = np.sqrt(1 - share) * x + np.sqrt(share) * y
        logs.append(np.log(x @ x))
    expected = 2 * depth * share * (2 - share) / width + 2 / width
    assert np.var(logs) == pytest.approx(expected, rel=0.25)


def test_a_bypass_of_a_share_of_the_channels_shortens_their_depth_alone():
    def depth(taken):
        e = GraphEmitter()
        source = e.source(3, 32, 32)
        x = e.conv(source, 16)
        for _ in range(4):
            y = e.conv(e.conv(x, 16), 16, act="")
            x = e.add([y, e.pad(e.slice(x, taken), 16)]) if taken else y
        return score_network(e.network(source, x)).unbypassed_depth

    found = [depth(taken) for taken in (0, 4, 8, 16)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 9 and found[-1] == 1


def test_laid_side_by_side_paths_count_by_their_channels():
    e = GraphEmitter()
    source = e.source(3, 32, 32)
    x = e.conv(source, 12)
    joined = e.concat([x, e.conv(e.conv(x, 4), 4)])
    assert score_network(e.network(source, joined)).unbypassed_depth == pytest.approx(1.5)
