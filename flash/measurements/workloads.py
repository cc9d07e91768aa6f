"""Workloads: networks to measure, each a short text that any machine can turn back into one.

Four kinds of text:

* ``16x32x32: conv k3 24 *4; dw k5; linear 10`` a *chain*: steps one after another on an input
  of 16 channels, 32 high and 32 wide. ``*4`` repeats a step, so that the time of one kernel
  stands out from the cost of a run.
* ``192x196: attn h3; mlp e4`` a chain of *blocks*: features and positions of rows, or a map as
  above, and steps of the second table. It is written as ONNX and read back (the extra ``onnx``).
* ``nasbench201: |nor_conv_3x3~0|+...`` or ``cifar10-add: w=8,16,32 d=1,1,1 t=8,8,8`` a design
  of a space that comes with flash (or of the space's file).
* ``mobilenet_v2_0.5_128`` a published network (``flash.spaces.reference``).

Steps of a chain (K kernel side, S stride, G groups, N channels, E expansion):

=====================  ======================================================================
``conv kK sS gG N``    convolution to N channels
``dw kK sS``           depthwise convolution
``max kK sS``          max pooling; ``avg kK sS`` average pooling; ``gap`` over all positions
``linear N``           fully connected layer
``dense kK N``         concat of the input and a convolution of it to N channels
``res kK``             sum of the input and a convolution of it
``mb kK sS eE N``      inverted residual block: 1x1, depthwise, 1x1, sum where shapes agree
=====================  ======================================================================

``sS`` and ``gG`` may be left out (1). Convolutions carry batch norm and ReLU (``mb`` ReLU6),
which runtimes fuse.

=============================  ==============================================================
``conv``, ``dw``               as above, without batch norm; ``plain kK N`` without ReLU
``silu`` ``gelu`` ``hswish``   an activation; so are ``relu``, ``sigmoid``, ``tanh``, ``elu``,
                               ``exp`` and ``softmax`` (over the last axis)
``rows N``                     the same fully connected layer on every position
``ln``                         layer norm over features
``attn hH``                    self-attention of H heads with its projections, and the sum
``mlp eE``                     norm, rows E times as wide, GELU, back, and the sum
``next kK eE``                 ConvNeXt's block: depthwise, norm, rows, GELU, and the sum
``lstm N``, ``gru N``          a recurrent layer over the positions
``conv1 kK sS gG N``           convolution over positions
``up kK``, ``bilinear kK``     a map K times as wide and high; ``deconv kK N`` by a
                               transposed convolution
``se rR``, ``shuffle gG``      squeeze and excitation by R; channels of G groups interleaved
``max kK``, ``spp kK``         pooling by K; three pools of pools, concatenated
=============================  ==============================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from flash.errors import UsageError, did_you_mean, shown
from flash.spaces.emitter import Emitter
from flash.spaces.layers import Tensor
from flash.spaces.network import GraphEmitter, Network
from flash.spaces.reference import reference_network
from flash.spaces.space import SearchSpace, load_space

__all__ = ["BLOCKS", "STEPS", "block_chain", "is_chain", "workload_kind", "workload_network"]

_INPUT: Final = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?")
_WORD: Final = re.compile(r"([ksgehr]?)([1-9]\d{0,5})")
_REPEAT: Final = re.compile(r"\*([1-9]\d{0,2})")
#: Far beyond what anyone measures; keeps a typing error from filling the memory.
_MOST_STEPS: Final = 1000

#: Numbers of a step by their letter; "" is the number of channels.
Numbers = dict[str, int]


def workload_network(text: str) -> Network:
    """The network that a workload's text describes.

    Raises ``UsageError`` (or, for a design, the space's ``SpaceError``): one line that quotes
    the text.

    >>> workload_network("16x8x8: conv k3 32 *2").macs
    884736
    """
    head, colon, rest = text.partition(":")
    if not colon:
        return reference_network(text.strip())
    size = _INPUT.fullmatch(head.strip())
    if size is None:
        return _design(_space(head.strip()), rest.strip())
    if (blocks := block_chain(text)) is not None:
        from flash.backends import block_network  # noqa: PLC0415 (an extra)

        try:
            return block_network(*blocks)
        except UsageError as error:
            raise UsageError(f"workload {shown(text)}: {error}") from None
    emitter = GraphEmitter()
    channels, height, width = map(int, size.groups())
    source = x = emitter.source(channels, height, width)
    emitted = 0
    for step in rest.split(";"):
        name, numbers, times = _parse(step, text, {k: v[:2] for k, v in STEPS.items()})
        emitted += times
        if emitted > _MOST_STEPS:
            raise UsageError(f"workload {shown(text)}: more than {_MOST_STEPS} steps")
        for _ in range(times):
            x = _checked(STEPS[name][2](emitter, x, numbers), step, text)
    return emitter.network(source, x)


def block_chain(text: str) -> tuple[tuple[int, ...], list[tuple[str, Numbers, int]]] | None:
    """Sizes and steps of a chain of blocks, as ``flash.backends.block_network`` takes them.

    None of any other text; raises ``UsageError`` as ``workload_network`` does.
    """
    head, _, rest = text.partition(":")
    size = _INPUT.fullmatch(head.strip())
    names = {step.split()[0] for step in rest.split(";") if step.split()}
    if size is None or (size[3] is not None and not names & (BLOCKS.keys() - STEPS.keys())):
        return None
    steps = [_parse(step, text, BLOCKS) for step in rest.split(";")]
    if sum(times for _, _, times in steps) > _MOST_STEPS:
        raise UsageError(f"workload {shown(text)}: more than {_MOST_STEPS} steps")
    return tuple(int(n) for n in size.groups() if n is not None), steps


def is_chain(text: str) -> bool:
    """Whether a text is a chain, of steps or of blocks: it begins with the sizes of its input."""
    return _INPUT.fullmatch(text.partition(":")[0].strip()) is not None


def workload_kind(text: str) -> str:
    """``"chain"``, the kind of a chain of blocks, the name of the space, or ``"reference"``."""
    head, colon, rest = text.partition(":")
    if not colon:
        return "reference"
    if not _INPUT.fullmatch(head.strip()):
        return head.strip()
    if block_chain(text) is None:
        return "chain"
    names = {step.split()[0] for step in rest.split(";")}
    return next((kind for kind, own in _BLOCK_KINDS.items() if names & own), "blocks")


@cache
def _space(name: str) -> SearchSpace:
    return load_space(name)


def _design(space: SearchSpace, text: str) -> Network:
    return space.network(space.design(space.family.parse(text)))


def _parse(
    step: str, text: str, known: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
) -> tuple[str, Numbers, int]:
    """Name, numbers and repetitions of one step; known: what numbers each needs and may have."""
    words = step.split()
    if not words:
        raise UsageError(f"workload {shown(text)}: an empty step")
    times = 1
    repeat = _REPEAT.fullmatch(words[-1])
    if repeat:
        times = int(repeat[1])
        words.pop()
    if not words or words[0] not in known:
        name = words[0] if words else step.strip()
        raise UsageError(
            f"workload {shown(text)}: unknown step '{name}'{did_you_mean(name, known)}"
        )
    name = words[0]
    needed, optional = known[name]
    numbers: Numbers = {}
    for word in words[1:]:
        match = _WORD.fullmatch(word)
        letter = match[1] if match else None
        if match is None or letter is None or letter in numbers or letter not in needed + optional:
            raise UsageError(
                f"workload {shown(text)}: '{word}' says nothing to {_form(name, known)}"
            )
        numbers[letter] = int(match[2])
    if set(needed) - set(numbers):
        raise UsageError(f"workload {shown(text)}: '{step.strip()}' is no {_form(name, known)}")
    return name, {**dict.fromkeys(optional, 1), **numbers}, times


def _form(name: str, known: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> str:
    """How a step is written: ``conv kK N [sS] [gG]``."""
    needed, optional = known[name]
    words = [name, *(_placeholder(letter) for letter in needed)]
    words += [f"[{_placeholder(letter)}]" for letter in optional]
    return f"step '{' '.join(words)}'"


def _placeholder(letter: str) -> str:
    return f"{letter}{letter.upper()}" if letter else "N"


def _checked(x: Tensor, step: str, text: str) -> Tensor:
    if int(x.height) < 1 or int(x.width) < 1:
        raise UsageError(f"workload {shown(text)}: nothing is left of the map at '{step.strip()}'")
    return x


# ------------------------------------------------------------------------------------- steps
def _conv(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    if int(x.channels) % n["g"] or n[""] % n["g"]:
        raise UsageError(f"{n['g']} groups do not divide {x.channels} and {n['']} channels")
    return e.conv(x, n[""], n["k"], n["s"], n["g"])


def _depthwise(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    return e.conv(x, x.channels, n["k"], n["s"], groups=x.channels)


def _max_pool(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    return e.max_pool(x, n["k"], n["s"])


def _avg_pool(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    return e.avg_pool(x, n["k"], n["s"])


def _global_pool(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    return e.global_pool(x)


def _linear(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    return e.linear(x, n[""])


def _dense(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    return e.concat([x, e.conv(x, n[""], n["k"])])


def _residual(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    return e.add([e.conv(x, x.channels, n["k"]), x])


def _inverted(e: Emitter, x: Tensor, n: Numbers) -> Tensor:
    hidden = int(x.channels) * n["e"]
    y = e.conv(x, hidden, 1, act="relu6") if n["e"] > 1 else x
    y = e.conv(y, hidden, n["k"], n["s"], groups=hidden, act="relu6")
    y = e.conv(y, n[""], 1, act="")
    return e.add([y, x]) if n["s"] == 1 and int(x.channels) == n[""] else y


#: Step -> the numbers it needs, those it may have (1 if left out), how it is emitted.
STEPS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[..., Tensor]]]] = {
    "conv": (("k", ""), ("s", "g"), _conv),
    "dw": (("k",), ("s",), _depthwise),
    "max": (("k",), ("s",), _max_pool),
    "avg": (("k",), ("s",), _avg_pool),
    "gap": ((), (), _global_pool),
    "linear": (("",), (), _linear),
    "dense": (("k", ""), (), _dense),
    "res": (("k",), (), _residual),
    "mb": (("k", "e", ""), ("s",), _inverted),
}

#: Step of a chain of blocks -> the numbers it needs, and those it may have (1 if left out).
BLOCKS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "conv": (("k", ""), ("s", "g")),
    "plain": (("k", ""), ("s", "g")),
    "dw": (("k",), ("s",)),
    "conv1": (("k", ""), ("s", "g")),
    "deconv": (("k", ""), ()),
    "up": (("k",), ()),
    "bilinear": (("k",), ()),
    "max": (("k",), ()),
    "spp": (("k",), ()),
    "se": (("r",), ()),
    "shuffle": (("g",), ()),
    "next": (("k", "e"), ()),
    "rows": (("",), ()),
    "ln": ((), ()),
    "attn": (("h",), ()),
    "mlp": (("e",), ()),
    "lstm": (("",), ()),
    "gru": (("",), ()),
    **dict.fromkeys(
        ("relu", "silu", "gelu", "hswish", "sigmoid", "tanh", "elu", "exp", "softmax"), ((), ())
    ),
}
#: Kind of a chain of blocks -> steps that make it one, the first that fits.
_BLOCK_KINDS: Final = {
    "recurrent": {"lstm", "gru"},
    "transformer": {"attn"},
    "sequence": {"conv1"},
    "mixer": {"next"},
    "mlp": {"mlp", "rows", "ln"},
    "decoder": {"up", "bilinear", "deconv", "spp"},
    "gated": {"se", "silu", "hswish", "shuffle"},
}
