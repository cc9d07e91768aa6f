"""Size, error and speed of the int8 files that ``flash.export`` writes, on random designs.

    python scripts/validate/int8.py [--designs 40] [--picks] [--seed 7] [--spaces S,T]

``--designs`` are drawn evenly over the spaces, ``--picks`` takes instead the three picks of a
search of every space for every processor target. Each design is quantized as by
``flash.export --format onnx-int8`` without images (normal noise, a quarter held out), with random
weights, biases and batch norms. Prints a line a design, by size:

* ratio: bytes of the int8 file over those of the fp32 file;
* least: the same ratio if the int8 file held its numbers only: a byte a weight and, for each
  output channel, 12 bytes: scale, bias and the bias's scale. (The fp32 file has 4 bytes a weight
  and about 16 a channel, so no file whose channels have fewer than 36 weights each on average
  comes under 30 %, however little else is in it.)
* error: root mean square difference of the outputs over that of fp32, on the held-out noise;
* time: latency over that of fp32, in turns, one thread. Needs a quiet machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from flash.backends import random_weights
from flash.backends.weights import Weights, kernel_shape
from flash.export.int8 import int8_build
from flash.export.order import Order
from flash.files.locations import known_names
from flash.search import search
from flash.spaces.network import Network
from flash.spaces.space import load_space
from flash.targets import load_hardware

SPACES = (
    "cifar10-add",
    "cifar10-concat",
    "cifar10-mobilenet-v2",
    "imagenet-mobilenet-v2",
    "nasbench-macro",
    "nasbench201",
)
#: fp32 scale, int32 bias, fp32 scale of the bias.
BYTES_A_CHANNEL = 12


class Row(NamedTuple):
    """What one design's int8 file is."""

    params: int
    ratio: float
    least: float
    error: float
    time: float
    name: str


def lively_weights(network: Network) -> Weights:
    """Random kernels as ever; biases and batch norms that are not the identity either.

    Equal numbers are stored once, and all the biases of an untrained network are.
    """
    rng = np.random.default_rng(1)
    weights = dict(random_weights(network))
    for name, values in weights.items():
        if name.endswith((".scale", ".variance")):
            weights[name] = rng.uniform(0.6, 1.4, values.shape).astype(np.float32)
        elif name.endswith((".bias", ".shift", ".mean")):
            weights[name] = rng.normal(0.0, 0.2, values.shape).astype(np.float32)
    return weights


def measure(network: Network, name: str) -> Row:
    order = Order(network, "network", lively_weights(network), "random")
    entry = int8_build(order).entry
    kernels = [x for x in network.layers if x.op in ("conv", "linear")]
    weights = sum(int(np.prod(kernel_shape(x))) for x in kernels)
    channels = sum(int(x.out_channels) for x in kernels)
    least = (weights + BYTES_A_CHANNEL * channels) / len(order.content)
    return Row(
        int(network.params),
        float(entry["size_ratio"]),
        least,
        float(entry["output_error"]["relative_rms"]),
        float(entry["measured_here"]["latency_ratio"]),
        name,
    )


def drawn(count: int, seed: int, names: list[str]) -> Iterator[tuple[str, Network]]:
    """Random designs, in turns of the spaces."""
    spaces = [load_space(name) for name in names]
    rng = np.random.default_rng(seed)
    designs = [space.sample(-(-count // len(spaces)), rng) for space in spaces]
    for number in range(count):
        turn, which = divmod(number, len(spaces))
        space = spaces[which]
        yield (
            f"{space.name} {space.identify(designs[which][turn])}",
            space.network(designs[which][turn]),
        )


def picked(names: list[str]) -> Iterator[tuple[str, Network]]:
    """The picks of every search, each design once."""
    targets = [t for t in known_names("hw_profiles") if "runtime" in load_hardware(t).options()]
    seen = set()
    for name in names:
        space = load_space(name)
        for target in targets:
            report = search(target=target, space=name)
            for label, identity in report.picks.items():
                (design,) = (d for d in report.front if d.id == identity)
                if (name, identity) not in seen:
                    seen.add((name, identity))
                    network = space.network(space.design(design.design))
                    yield f"{name} {identity}, {label} of {target}", network


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--designs", type=int, default=40, metavar="N")
    parser.add_argument("--picks", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--spaces", default=",".join(SPACES))
    options = parser.parse_args()
    names = options.spaces.split(",")
    networks = picked(names) if options.picks else drawn(options.designs, options.seed, names)
    rows = []
    for name, network in networks:
        rows.append(measure(network, name))
        print(f"{len(rows)}: {name}", file=sys.stderr, flush=True)
    print(f"{'params':>11}{'ratio':>8}{'least':>8}{'error':>8}{'time':>7}  design")
    for r in sorted(rows):
        print(f"{r.params:11,}{r.ratio:8.3f}{r.least:8.3f}{r.error:8.4f}{r.time:7.2f}  {r.name}")
    under = sum(r.ratio < 0.30 for r in rows)
    error, time = (np.median([getattr(r, key) for r in rows]) for key in ("error", "time"))
    print(
        f"{under} of {len(rows)} under 30 %, largest {max(r.ratio for r in rows):.3f}; "
        f"median error {error:.4f}, median time {time:.2f}"
    )


if __name__ == "__main__":
    main()
