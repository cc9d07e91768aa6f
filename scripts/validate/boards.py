"""What the shipped boards say of designs: widths of intervals, Pi 3 against Pi 4, ResNet-8.

    python scripts/validate/boards.py

Reads the shipped profiles, and ``shared/data`` for the one measured network. A minute.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raspberry_pi_data import SHARED, read_resnet8_ms, resnet8  # noqa: E402

from flash.search import search  # noqa: E402
from flash.spaces.space import load_space  # noqa: E402
from flash.targets.processor.costs import costs, network_costs  # noqa: E402
from flash.targets.processor.profile import load_profile  # noqa: E402

#: Runtimes of the Pi 3B and the Pi 4B that may be compared: the same framework.
COMPARABLE = (("tvm", "tvm"), ("ncnn", "ncnn"))
DESIGNS, SEED = 2000, 20261129


def verdict(good: bool) -> str:
    """What a target's line ends in."""
    return "ok" if good else "MISSED"


def widths() -> None:
    """Factors between the ends of the intervals of the default front's latencies."""
    found = search("rpi3b", optimizer="exact")
    some = [d for d in found.front if 2e6 <= d.macs <= 60e6]
    ratio = np.array([d.latency_ms.high / d.latency_ms.low for d in some])
    outside = np.mean([d.extrapolated for d in some])
    print(
        f"rpi3b, default front, {len(some)} designs of 2 to 60 M MACs: high/low median "
        f"{np.median(ratio):.2f}, most {ratio.max():.2f}; {outside:.0%} outside   "
        f"median <= 3: {verdict(bool(np.median(ratio) <= 3))}"
    )


def pi3_against_pi4() -> None:
    """Random designs of each space: how much faster the Pi 4B is, runtime by runtime."""
    for name in ("cifar10-concat", "cifar10-add", "cifar10-mobilenet-v2", "imagenet-mobilenet-v2"):
        space = load_space(name)
        table = space.table(space.sample(DESIGNS, np.random.default_rng(SEED)))
        for of_pi3, of_pi4 in COMPARABLE:
            slow = costs(table, load_profile("rpi3b", of_pi3))["latency_ms"]
            fast = costs(table, load_profile("rpi4b", of_pi4))["latency_ms"]
            ratio = fast / slow
            print(
                f"{name}, {DESIGNS} designs, {of_pi3}: Pi 4B / Pi 3B {ratio.min():.2f} to "
                f"{ratio.max():.2f}, median {np.median(ratio):.2f}   none slower: "
                f"{verdict(bool(ratio.max() < 1))}"
            )


def small_network() -> None:
    """ResNet-8, never in a fit, measured under a compiler based on TVM: four cores at 1.5 GHz."""
    measured = read_resnet8_ms()
    for runtime in load_profile("rpi4b").runtimes:
        predicted = network_costs(resnet8(), load_profile("rpi4b", runtime))["latency_ms"]
        line = f"ResNet-8 on a Pi 4B {measured:.2f} ms, rpi4b:{runtime} {predicted:.2f} ms"
        if runtime == "tvm":
            # Two cores at 1.8 GHz against four at 1.5, as if work were shared without a loss.
            scaled = predicted * (2 * 1.8) / (4 * 1.5)
            error = scaled / measured - 1
            line += (
                f", {scaled:.2f} on four at 1.5 GHz   within 25 %: {verdict(abs(error) <= 0.25)}"
            )
        print(line)


def main(arguments: Sequence[str]) -> int:
    """Print all figures; returns the exit code."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    widths()
    pi3_against_pi4()
    if (SHARED / "data").is_dir():
        small_network()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
