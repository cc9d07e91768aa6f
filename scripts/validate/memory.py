"""Peak activations and weights in int8 against what STM32Cube.AI needs on a microcontroller.

    python scripts/validate/memory.py

Published by ST for an STM32H747 (model zoo, ``image_classification/mobilenetv*/README.md``, commit
6f10965; STM32Cube.AI 10.0.0): the RAM of activations and the Flash of weights, in KiB. How its
allocator places, overlaps and fuses is not published: it needs less than all that is alive at one
time in some networks, and more in others. So three figures stand beside each row: what is alive at
one time (what flash reports); ``overlapped``, where every result is written over the input that it
alone reads, the least any allocator needs; and ``first fit``, what the simplest static allocation
takes: tensors at fixed places, each in the first gap when it is first written.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from flash.metrics import peak_activation_elements
from flash.spaces.layers import out_elements
from flash.spaces.network import Network
from flash.spaces.reference import reference_network
from flash.spaces.table import network_table

#: Reference network -> activation RAM, Flash of weights, in KiB.
PUBLISHED = {
    "mobilenet_v2_0.35_128": (237.32, 1654.5),
    "mobilenet_v2_0.35_224": (832.64, 1654.5),
    "mobilenet_v2_1.0_224": (1727.02, 3458.97),
    "mobilenet_v2_1.4_224": (2332.2, 6015.34),
    "mobilenet_v1_0.25_224": (272.96, 467.33),
    "mobilenet_v1_0.5_224": (431.07, 1314.0),
    "mobilenet_v1_1.0_224": (1331.13, 4157.09),
}
KIB = 1024.0


def last_reads(network: Network) -> tuple[dict[int, int], int]:
    """Each tensor's producer -> the last layer that reads it; and the image's elements."""
    last = dict.fromkeys(range(-1, len(network.layers)), -1)
    for row, layer in enumerate(network.layers):
        for x in layer.inputs:
            if x.present:
                last[int(x.producer)] = row
    last[int(network.output.producer)] = len(network.layers)
    source = network.source
    return last, int(source.channels * source.height * source.width)


def first_fit(network: Network) -> int:
    """Elements that a static allocation takes, tensors placed when they are written."""
    last, image = last_reads(network)
    placed: list[tuple[int, int, int]] = [(0, image, last[-1])]
    most = image
    for row, layer in enumerate(network.layers):
        size, start = int(out_elements(layer)), 0
        for first, end, until in sorted(placed):
            if until >= row and first < start + size and end > start:
                start = end
        placed.append((start, start + size, max(last[row], row)))
        most = max(most, start + size)
    return most


def overlapped(network: Network) -> int:
    """Elements alive at one time where a result replaces the input that it alone reads."""
    last, image = last_reads(network)
    alive = {-1: image}
    most = image
    for row, layer in enumerate(network.layers):
        ends = [k for k in alive if last[k] == row]
        replaced = max((alive.pop(k) for k in ends), default=0)
        size = int(out_elements(layer))
        most = max(most, sum(alive.values()) + max(size, replaced))
        alive[row] = size
    return most


def main() -> int:
    """Print a line a network; returns the exit code."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    errors, between = [], 0
    for name, (ram, flash) in PUBLISHED.items():
        network = reference_network(name)
        peak = float(peak_activation_elements(network_table(network))[0]) / KIB
        fit, weights = first_fit(network) / KIB, network.params / KIB
        least = overlapped(network) / KIB
        between += least <= ram <= fit
        errors.append(100 * (peak / ram - 1))
        print(
            f"{name:24s} RAM {ram:8.1f} KiB published, {peak:8.1f} alive at one time "
            f"({errors[-1]:+5.1f} %), {least:8.1f} overlapped, {fit:8.1f} first fit "
            f"({100 * (fit / ram - 1):+5.1f} %); "
            f"weights {flash:8.1f}, {weights:8.1f} ({100 * (weights / flash - 1):+5.1f} %)"
        )
    inside = sum(-3 <= error <= 10 for error in errors)
    print(
        f"within -3 to +10 %: {inside} of {len(errors)}; median {np.median(np.abs(errors)):.1f} %; "
        f"between overlapped and first fit: {between} of {len(errors)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
