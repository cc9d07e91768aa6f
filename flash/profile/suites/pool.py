"""Candidates for a suite: chains over the shapes that decide a kernel's speed, and networks.

A seeded draw, so that the same flash proposes the same candidates everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from flash.measurements.workloads import workload_kind, workload_network
from flash.spaces.network import Network
from flash.spaces.space import SearchSpace, load_space

__all__ = ["KINDS", "LARGEST_MACS", "SMALLEST_MACS", "Candidate", "candidates"]

#: Networks outside take too short or too long to say much in the time they take.
SMALLEST_MACS: Final = 400_000
LARGEST_MACS: Final = 620_000_000
#: More weights than this do not fit the memory of small boards beside the rest.
_LARGEST_PARAMS: Final = 12_000_000

#: Kind -> share of a suite. Chains tell kernels apart; whole networks show how they add up; blocks
#: are what other networks than convolutional ones are made of.
KINDS: Final = {
    "chain": 0.23,
    "mobilenet": 0.15,
    "concat": 0.08,
    "add": 0.07,
    "nasbench201": 0.07,
    "reference": 0.04,
    "blocks": 0.24,
    "whole": 0.12,
}
_SPACES: Final = {
    "cifar10-mobilenet-v2": "mobilenet",
    "imagenet-mobilenet-v2": "mobilenet",
    "cifar10-concat": "concat",
    "cifar10-add": "add",
    "nasbench201": "nasbench201",
}
_REFERENCES: Final = {
    "mobilenet_v1_0.25_128": "mobilenet",
    "mobilenet_v1_0.5_160": "mobilenet",
    "mobilenet_v1_0.75_192": "mobilenet",
    "mobilenet_v1": "mobilenet",
    "mobilenet_v2_0.35_96": "mobilenet",
    "mobilenet_v2_0.5_160": "mobilenet",
    "mobilenet_v2_0.75_192": "mobilenet",
    "mobilenet_v2": "mobilenet",
    "mobilenet_v3_small_minimalistic": "mobilenet",
    "mnasnet": "mobilenet",
    "proxylessnas_mobile": "mobilenet",
    "efficientnet_lite0": "mobilenet",
    "squeezenet_1.1": "reference",
}
#: A dense and a residual network of ordinary shapes, as chains.
_PLAIN: Final = (
    "3x64x64: conv k7 s2 32; max k3 s2; conv k3 64 *3; max k2 s2; conv k3 128 *3; gap; linear 100",
    "3x96x96: conv k3 s2 24; res k3 *3; conv k3 s2 48; res k3 *3; conv k3 s2 96; res k3 *3; gap; "
    "linear 10",
    "3x48x48: conv k3 32; dense k3 12 *6; conv k1 48; avg k2 s2; dense k3 12 *8; gap; linear 10",
)
#: Networks of the kinds that people deploy, as chains of blocks (sums left out where a chain cannot
#: say them): gated mobile networks, plain and grouped ones with gates, detectors with their neck,
#: transformers of images and of words, hybrids, a U-Net, keyword spotters, text from images.
_WHOLE: Final = (
    "3x224x224: plain k3 s2 16; hswish; dw k3 s2; se r2; plain k1 16; plain k1 72; relu; dw k3 s2; "
    "plain k1 24; plain k1 96; hswish; dw k5 s2; se r4; plain k1 40; plain k1 240; hswish; dw k5; "
    "se r4; plain k1 48; plain k1 288; hswish; dw k5 s2; se r4; plain k1 96; plain k1 576; hswish",
    "3x224x224: plain k3 s2 32; silu; dw k3; silu; se r4; plain k1 16; plain k1 96; silu; "
    "dw k3 s2; silu; se r24; plain k1 24; plain k1 144; silu; dw k5 s2; silu; se r24; plain k1 40; "
    "plain k1 240; silu; dw k3 s2; silu; se r24; plain k1 80; plain k1 480; silu; dw k5; silu; "
    "se r24; plain k1 112; plain k1 672; silu; dw k5 s2; silu; se r24; plain k1 192",
    "3x160x160: conv k3 s2 32; conv k1 48; conv k3 s2 g6 48; se r4; conv k1 48; conv k1 104; "
    "conv k3 s2 g13 104; se r4; conv k1 104; conv k1 208; conv k3 s2 g26 208; se r4; conv k1 208",
    "3x192x192: plain k3 s2 16; silu; plain k3 s2 32; silu; plain k1 32; silu; plain k3 32; silu; "
    "plain k3 s2 64; silu; plain k3 64; silu; plain k3 s2 128; silu; plain k3 128; silu; spp k5; "
    "plain k1 128; silu; up k2; plain k1 64; silu; plain k3 64; silu; plain k1 85; sigmoid",
    "3x224x224: conv k16 s16 192; attn h3; mlp e4; attn h3; mlp e4; attn h3; mlp e4",
    "3x128x128: conv k3 s2 32; conv k3 s2 64; attn h4; mlp e2; attn h4; mlp e2; attn h4; mlp e2",
    "3x96x96: conv k3 s2 16; plain k1 32; dw k3 s2; conv k1 48; plain k1 96; dw k3 s2; conv k1 64; "
    "attn h4; mlp e2; attn h4; mlp e2",
    "256x128: attn h4; mlp e4; attn h4; mlp e4; rows 512",
    "3x160x160: conv k4 s4 40; next k7 e4; next k7 e4; conv k2 s2 80; next k7 e4; next k7 e4; "
    "conv k2 s2 160; next k7 e4; next k7 e4",
    "3x96x96: conv k3 16; max k2; conv k3 32; max k2; conv k3 64; deconv k2 32; conv k3 32; "
    "bilinear k2; conv k3 16; plain k1 2; sigmoid",
    "1x49x10: conv k5 s2 64; dw k3; relu; conv k1 64; dw k3; relu; conv k1 64; dw k3; relu; "
    "conv k1 64; softmax",
    "40x101: conv1 k3 64; conv1 k9 s2 64; conv1 k9 64; conv1 k9 s2 96; conv1 k9 96; rows 12",
    "1x32x128: conv k3 32; max k2; conv k3 64; max k2; conv k3 128; lstm 96; rows 80; softmax",
    "3x112x112: conv k3 s2 24; shuffle g2; dw k3 s2; plain k1 48; shuffle g2; conv k1 48; dw k3; "
    "plain k1 48; shuffle g2; conv k1 96; dw k3 s2; plain k1 96; shuffle g2; conv k1 96",
)
# On and off the SIMD width of 4, 8 and 16 lanes.
_CHANNELS: Final = (8, 12, 16, 20, 24, 30, 32, 44, 48, 64, 72, 96, 100, 128, 160, 192, 256, 384)
_SIDES: Final = (4, 7, 8, 14, 16, 20, 28, 32, 40, 56, 64, 112)


@dataclass(frozen=True)
class Candidate:
    """A workload that a suite may take up.

    ``text`` parses back to ``network``; ``live`` is what of it runtimes compute.
    """

    text: str
    kind: str
    network: Network
    live: Network

    @classmethod
    def of(cls, text: str, kind: str = "") -> Candidate:
        """The candidate of a text; raises as ``workload_network`` does."""
        network = workload_network(text)
        return cls(text, kind or workload_kind(text), network, network.live())


def candidates(seed: int = 0, blocks: bool = True) -> list[Candidate]:
    """Every candidate, each once, in an order that only the seed decides.

    blocks: with chains of blocks.
    """
    rng = np.random.default_rng(seed)
    texts: dict[str, str] = dict.fromkeys(_chains(rng, 260), "chain")
    for name, kind in _SPACES.items():
        texts |= dict.fromkeys(_designs(load_space(name), rng, 60), kind)
    texts |= _REFERENCES
    texts |= dict.fromkeys(_PLAIN, "reference")
    if blocks:
        texts |= dict.fromkeys(_blocks(np.random.default_rng(seed), 5), "blocks")
        texts |= dict.fromkeys(_WHOLE, "whole")
    found = [Candidate.of(text, kind) for text, kind in texts.items()]
    return [c for c in found if _fits(c)]


def _fits(candidate: Candidate) -> bool:
    # Blocks without products are measured for what they are.
    least = 0 if candidate.kind in ("blocks", "whole") else SMALLEST_MACS
    within = least <= candidate.live.macs <= LARGEST_MACS
    return within and candidate.network.params <= _LARGEST_PARAMS


def _designs(space: SearchSpace, rng: np.random.Generator, count: int) -> list[str]:
    """Designs of every size: each leans towards the small or the large end of its ranges."""
    texts = []
    sizes = np.array([len(grid) for grid in space.grids])
    for _ in range(count):
        lean = float(np.exp(rng.uniform(-0.7, 2.0)))
        lean = 1.0 if space.name == "nasbench201" else lean
        indices = np.floor(sizes * rng.random(len(sizes)) ** lean).astype(np.int64)
        texts.append(f"{space.name}: {_text(space, indices)}")
    return texts


def _text(space: SearchSpace, indices: Any) -> str:
    text: str = space.describe(indices)
    # What cannot be parsed back could not be measured elsewhere.
    space.design(space.family.parse(text))
    return text


def _chains(rng: np.random.Generator, count: int) -> list[str]:
    """Chains of one kernel, or one behind a convolution that sets its shape."""
    texts: list[str] = []
    forms = list(_FORMS.items())
    shares = np.array([share for _, share in forms])
    for _ in range(count):
        form = forms[int(rng.choice(len(forms), p=shares / shares.sum()))][0]
        pick = {
            "c": int(rng.choice(_CHANNELS)),
            "n": int(rng.choice(_CHANNELS)),
            "h": int(rng.choice(_SIDES)),
            "t": int(rng.choice((2, 4, 8))),
            "k": int(rng.choice((3, 5, 7))),
            "e": int(rng.choice((2, 3, 4, 6))),
            "f": int(rng.choice((64, 256, 1000, 2048, 4096))),
            "s": int(rng.choice((1, 2))),
            "b": int(rng.choice((2, 3))),
        }
        pick["g"] = int(rng.choice([g for g in (2, 4, 8) if pick["c"] % g == 0] or [1]))
        # Groups by what each has of channels: runtimes treat those that fill registers otherwise.
        widths = [x for x in (4, 8, 12, 16, 24, 32) if pick["c"] % x == 0 and x < pick["c"]]
        pick["w"] = pick["c"] // int(rng.choice(widths or [pick["c"]]))
        # Every average of two by two without padding takes a row and a column.
        if "avg" not in form or pick["h"] > pick["t"]:
            texts.append(form.format(**pick))
    return texts


#: Form of a chain -> its share among the chains drawn.
_FORMS: Final = {
    "{c}x{h}x{h}: conv k1 {n}; conv k1 {n} *{t}": 4,
    "{c}x{h}x{h}: conv k3 {n}; conv k3 {n} *{t}": 4,
    "{c}x{h}x{h}: conv k{k} {n} *{t}": 2,
    "{c}x{h}x{h}: conv k3 s2 {n}": 1,
    "{c}x{h}x{h}: conv k3 g{g} {c} *{t}": 1,
    "{c}x{h}x{h}: conv k1 {c}; conv k3 g{w} {c}; conv k1 {n}": 2,
    "{c}x{h}x{h}: conv k1 {c}; conv k3 s2 g{w} {c}; conv k1 {n}": 1,
    "{c}x7x7: conv k1 {f}; gap; linear 1000": 1,
    "{c}x{h}x{h}: dw k{k}; conv k1 {n}": 2,
    "{c}x{h}x{h}: dw k{k} *{t}; conv k1 {n}": 3,
    "{c}x{h}x{h}: conv k1 {n}; dw k{k} s2; conv k1 {n}": 1,
    "{c}x{h}x{h}: conv k1 {n}; max k3 s1 *{t}": 1,
    "{c}x{h}x{h}: conv k1 {n}; avg k{b} s1 *{t}": 1,
    "{c}x{h}x{h}: conv k1 {n}; max k{b} s2; conv k1 {c}": 1,
    "{c}x1x1: linear {f} *{t}; linear 1000": 1,
    "{c}x4x4: linear {f}; linear {f}": 1,
    "{c}x{h}x{h}: dense k1 {n} *{t}": 1,
    "{c}x{h}x{h}: dense k3 16 *{t}": 1,
    "{c}x{h}x{h}: res k1 *{t}": 1,
    "{c}x{h}x{h}: res k3 *{t}": 1,
    "{c}x{h}x{h}: mb k{k} e{e} {c} *{t}": 2,
}


def _blocks(rng: np.random.Generator, count: int) -> list[str]:
    """``count`` chains of every form of blocks, at random sizes."""
    texts = []
    for form in _BLOCK_FORMS:
        for _ in range(count):
            heads = int(rng.choice((2, 3, 4, 6)))
            pick = {
                "c": 16 * int(rng.choice((1, 2, 3, 4, 6, 8, 12))),
                "n": 16 * int(rng.choice((1, 2, 3, 4, 6, 8))),
                "h": int(rng.choice((7, 8, 14, 16, 20, 28, 32, 40))),
                "l": int(rng.choice((16, 32, 49, 64, 100, 128, 196, 256))),
                "a": heads,
                "f": heads * int(rng.choice((16, 32, 48, 64))),
                "e": int(rng.choice((2, 3, 4))),
                "t": int(rng.choice((1, 2, 3))),
                "k": int(rng.choice((3, 5, 7))),
            }
            pick["w"] = pick["n"] // 8
            texts.append(form.format(**pick))
    return texts


#: Forms of chains of blocks: what transformers, ConvNeXts, detectors with their necks, U-Nets,
#: keyword spotters, recurrent and fully connected networks are made of.
_BLOCK_FORMS: Final = (
    "{f}x{l}: attn h{a}; mlp e{e}",
    "{f}x{l}: ln; attn h{a}; mlp e{e}; ln; attn h{a}; mlp e{e}",
    "{f}x{l}: mlp e{e}",
    "{c}x{l}: rows {n} *{t}",
    "{f}x{l}: ln *8",
    "{f}x{l}: gelu *8",
    "{f}x{l}: softmax *8",
    "3x{l}x{l}: conv k4 s4 {f}; next k7 e4; next k7 e4",
    "{c}x{h}x{h}: plain k1 {n}; next k7 e{e} *{t}",
    "{c}x{l}: lstm {n}",
    "{c}x{l}: lstm {n}; lstm {n}; rows 32",
    "{c}x{l}: gru {n}",
    "{c}x{l}: conv1 k{k} {n} *{t}; rows 16",
    "{c}x{h}x{h}: plain k3 {n}; silu *4",
    "{c}x{h}x{h}: plain k3 {n}; silu; plain k1 {c}; silu; spp k5; plain k1 {n}; silu; up k2",
    "{c}x{h}x{h}: conv k3 {n}; up k2; conv k3 {n}; bilinear k2; plain k1 16",
    "{c}x{h}x{h}: conv k3 {n}; deconv k2 {c}; conv k3 {n}",
    "{c}x{h}x{h}: conv k1 {n}; se r4 *{t}; conv k1 {c}",
    "{c}x{h}x{h}: conv k1 {n}; dw k{k}; hswish; se r4; plain k1 {c}",
    "{c}x{h}x{h}: plain k1 {n}; silu; dw k{k}; silu; se r4; plain k1 {c}",
    "{c}x{h}x{h}: conv k1 {n}; conv k3 g{w} {n}; se r4; plain k1 {c}",
    "{c}x{h}x{h}: conv k1 {n}; conv k3 s2 g{w} {n}; se r4; plain k1 {c}",
    "{c}x{h}x{h}: conv k1 {n}; shuffle g2; dw k3; plain k1 {n}; shuffle g2 *4",
    "{c}x{h}x{h}: plain k3 {n}; gelu *4",
    "{c}x{h}x{h}: plain k3 {n}; tanh *2; exp *2; sigmoid *2; elu *2",
)
