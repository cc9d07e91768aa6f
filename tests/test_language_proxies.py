"""Scores of recurrent layers and of attention heads, against computations of their own."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch")

from flash.proxies.head_confidence import attention_heads, head_confidence  # noqa: E402
from flash.proxies.hidden_covariance import hidden_covariance, hidden_states  # noqa: E402
from flash.proxies.probe import NoScore  # noqa: E402
from flash.proxies.submodules import encoder_score, encoder_weights  # noqa: E402


@pytest.mark.parametrize("first", [True, False])
def test_hidden_covariance_is_numpys_of_the_states_step_by_step(first):
    torch.manual_seed(0)
    layer = torch.nn.RNN(3, 5, batch_first=first)
    sequences = torch.randn(4, 6, 3)
    w, u, b, c = (p.detach().numpy() for p in layer.parameters())
    state, states = np.zeros((4, 5)), []
    for step in range(6):
        state = np.tanh(sequences[:, step].numpy() @ w.T + b + state @ u.T + c)
        states.append(state)
    values = np.linalg.eigvalsh(np.corrcoef(np.stack(states, axis=1).reshape(4, -1)))
    want = -np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5))
    assert hidden_covariance(hidden_states(layer, sequences)) == pytest.approx(want, rel=1e-3)


def test_heads_mixed_together_are_pytorchs_attention():
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = torch.randn(3, 5, 8)
    heads = attention_heads(attention, tokens)
    assert heads.shape == (3, 2, 5, 4)
    mixed = attention.out_proj(heads.transpose(1, 2).reshape(3, 5, 8))
    want = attention(tokens, tokens, tokens, need_weights=False)[0]
    assert torch.allclose(mixed, want, atol=1e-6)


def test_head_confidence_adds_up_the_mean_of_the_largest_outputs():
    layers = [np.random.default_rng(k).standard_normal((3, 2, 5, 4)) for k in range(2)]
    want = sum(layer[:, h].max(axis=1).mean() for layer in layers for h in range(2))
    got = head_confidence(torch.from_numpy(layer) for layer in layers)
    assert got == pytest.approx(want)


def _encoder(feed_forward=32, layers=2):
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(8, 2, feed_forward, batch_first=True)
    return torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def test_the_score_of_an_encoder_is_of_its_matrices_by_kind():
    module = _encoder()
    attention = sum(
        np.abs(x.detach().numpy()).sum()
        for layer in module.layers
        for x in (layer.self_attn.in_proj_weight, layer.self_attn.out_proj.weight)
    )
    forward = sum(
        np.abs(x.detach().numpy()).sum()
        for layer in module.layers
        for x in (layer.linear1.weight, layer.linear2.weight)
    )
    expected = 0.25 * np.log(attention) + 0.75 * np.log(forward)
    assert encoder_score(module) == pytest.approx(expected, rel=1e-6)
    assert encoder_score(module, balance=0) == pytest.approx(np.log(attention), rel=1e-6)
    assert encoder_score(_encoder(layers=4)) > encoder_score(module) < encoder_score(_encoder(64))


def test_sub_modules_are_told_apart_by_the_names_of_others_too():
    bert = torch.nn.Module()
    for name in ("embeddings", "attention_query", "attention_output_dense", "intermediate_dense"):
        bert.add_module(name, torch.nn.Linear(2, 2))
    attention, feed_forward = encoder_weights(bert)
    assert (len(attention), len(feed_forward)) == (2, 1)
    with pytest.raises(NoScore, match="named as one of attention"):
        encoder_score(torch.nn.Sequential(torch.nn.Linear(2, 2)))
