"""Published YOLO detectors as designs of the family ``detector``.

A name says version, size and input side: ``yolo8n_320``, ``yolo5d67w25_480`` (depth multiple 0.67,
width multiple 0.25), ``yolo6m-d33w5_160``, as YOLOBench writes them (Lazarevich et al. 2023, arXiv
2307.13901). All have YOLOv8's head. Counts of blocks and widths are those of the publications;
``scripts/validate/detectors.py`` holds them against published numbers of parameters and operations.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from flash.errors import UsageError
from flash.spaces.families.detector import DetectorFamily
from flash.spaces.family import InputShape
from flash.spaces.network import GraphEmitter, Network

__all__ = ["CLASSES", "SIDES", "detector_network", "detector_values"]

#: Classes of PASCAL VOC and of COCO.
CLASSES = {"voc": 20, "coco": 80}
#: Sides that YOLOBench measured.
SIDES = tuple(range(160, 481, 32))
_SIDE = 640

_NAME = re.compile(r"yolo(\d)(u|[sml]-)?(n|s|m|l|d(\d+)w(\d+))(?:_(\d{2,4}))?")
_SIZES = {"n": (33, 25), "s": (33, 50), "m": (67, 75), "l": (100, 100)}
#: Multiples as names write them, in per cent.
_MULTIPLES = {"1": 100, "75": 75, "5": 50, "25": 25, "33": 33, "67": 67, "6": 60}


class _Published(NamedTuple):
    """A version: its style and its blocks at full depth."""

    style: int
    backbone: tuple[int, int, int, int]
    neck: int


_VERSIONS = {
    ("3", ""): _Published(3, (2, 8, 8, 4), 2),
    ("4", ""): _Published(4, (2, 8, 8, 4), 2),
    ("5", ""): _Published(5, (3, 6, 9, 3), 3),
    ("6", "u"): _Published(6, (6, 12, 18, 6), 12),
    ("6", "s-"): _Published(60, (6, 12, 18, 6), 12),
    ("6", "m-"): _Published(61, (6, 12, 18, 6), 12),
    ("6", "l-"): _Published(62, (6, 12, 18, 6), 12),
    ("7", ""): _Published(7, (2, 2, 2, 2), 4),
    ("8", ""): _Published(8, (3, 6, 6, 3), 3),
}
#: Base widths at strides 8, 16 and 32; YOLOv8 limits them the more the deeper it is.
_WIDTHS = (256, 512, 1024)
_MOST_WIDE = {67: 768, 100: 512}


def detector_values(name: str) -> dict[str, int]:
    """The design a name means, by variable.

    Raises ``UsageError`` for a name that is none.
    """
    found = _NAME.fullmatch(name)
    known = _VERSIONS.get((found[1], found[2] or "")) if found else None
    if found is None or known is None:
        raise UsageError(f"'{name}' is no detector: expected a name such as yolo8n_320")
    depth, width = _SIZES.get(found[3]) or (_multiple(name, found[4]), _multiple(name, found[5]))
    most = _MOST_WIDE.get(depth, 1024) if known.style == 8 else 1024
    widths = [_wide(min(base, most) * width) for base in _WIDTHS]
    backbone, neck = list(known.backbone), known.neck
    if known.style != 7:  # which has one depth
        backbone, neck = [_deep(n * depth) for n in backbone], _deep(neck * depth)
    if known.style in (61, 62):  # blocks are pairs of convolutions
        backbone, neck = [max(n // 2, 1) for n in backbone], max(neck // 2, 1)
    values = {"side": int(found[6] or _SIDE), "style": known.style}
    values |= dict(zip(("w3", "w4", "w5"), widths, strict=True))
    values |= {f"d{n}": blocks for n, blocks in enumerate(backbone, start=2)}
    values |= {f"n{n}": neck for n in range(1, 5)}
    if known.style == 3:  # repeats the finest node only, and has no way back up
        values |= {"n1": 1, "n3": 1, "n4": 1}
    return values | {"h3": 100, "h4": 100, "h5": 100}


def detector_network(name: str, classes: int = CLASSES["coco"]) -> Network:
    """The detector of that name; at side 640 where it says none."""
    values = detector_values(name)
    side = values["side"]
    family = DetectorFamily(InputShape(3, side, side), classes, {})
    family.check({name: [value] for name, value in values.items()})
    emitter = GraphEmitter()
    return emitter.network(*family.emit(emitter, values))


def _multiple(name: str, text: str) -> int:
    if text not in _MULTIPLES:
        raise UsageError(f"'{name}' is no detector: multiples are written {', '.join(_MULTIPLES)}")
    return _MULTIPLES[text]


def _wide(percent: int) -> int:
    """Channels rounded up to multiples of 8."""
    return -(-percent // 800) * 8


def _deep(percent: int) -> int:
    """Blocks rounded to the nearest number, at least one."""
    return max(round(percent / 100), 1)
