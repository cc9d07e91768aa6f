"""What few bits cost in accuracy: stated ranges against kinds left out, and against others' pairs.

    python scripts/validate/bits.py

1. Of the pairs behind ``flash.accuracy.bits`` each kind of network (of 4 bits: each publisher, and
   what was trained here) is left out, and the range of the others is held against it. Where fewer
   than nine of ten lie inside, the range that searches state is that of all pairs, widened at
   either end by as much as it takes.
2. Pairs that others published, which are not among them: HAWQ-V3's 8-bit networks, small ones on
   CIFAR-10 and MNIST; 4-bit weights by DoReFa.

No network is trained here. Exit code 1 if fewer than 85 % of the 8-bit pairs left out lie inside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from flash.accuracy.bits import PAIRS, Drop, Pair, beyond, drop_without, quantization_drop

#: Others' pairs, by bits: top-1 of floats and quantized, in per cent.
OTHERS: Final = {
    8: (
        Pair("HAWQ-V3 model zoo", "ResNet18", 71.47, 71.56),
        Pair("HAWQ-V3 model zoo", "ResNet50", 77.72, 77.58),
        Pair("RedBit's wiki", "LeNet-5, QNN, MNIST", 99.69, 99.52),
        Pair("RedBit's wiki", "LeNet-5, DoReFa, MNIST", 99.67, 99.69),
        Pair("RAYKALI/simple-int8-pytorch-implement", "VGG16-mini, CIFAR-10", 79.66, 79.63),
        Pair("andreizoltan/ptq_resnet20", "ResNet-20, CIFAR-10", 91.53, 91.55),
    ),
    4: (Pair("sunxm2357/DoReFa, activations in floats", "ResNet-20, CIFAR-10", 92.13, 91.46),),
}


def inside(drop: Drop, pairs: Sequence[Pair]) -> int:
    """How many of the pairs lie in a range (to rounding)."""
    return beyond(drop, pairs).count(0.0)


def main() -> int:
    """Print each bit width's range and what lies in it; 1 where too little does."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    share = {}
    for bits, pairs in PAIRS.items():
        print(quantization_drop(bits))
        held = 0
        for kind in sorted({pair.kind for pair in pairs}):
            drop = drop_without(bits, kind)
            own = [pair for pair in pairs if pair.kind == kind]
            held += inside(drop, own)
            print(f"  {kind:14s}{inside(drop, own):3d} of {len(own):2d} in {drop.low:+.2f} to "
                  f"{drop.high:+.2f} of the others")  # fmt: skip
        share[bits] = held / len(pairs)
        print(f"  left out by kind: {held} of {len(pairs)} inside")
        whole = quantization_drop(bits)
        for pair in OTHERS[bits]:
            words = "inside" if whole is not None and inside(whole, [pair]) else "OUTSIDE"
            print(f"  {pair.points:+.2f} {words}: {pair.network} ({pair.kind})")
    return 0 if share[8] >= 0.85 else 1


if __name__ == "__main__":
    sys.exit(main())
