"""YOLOBench's tables of detectors: networks, mAP, and latencies on boards.

``shared/data/yolobench`` beside the repository folder, or under the folder FLASH_SHARED names
(Deeplite/deeplite-torch-zoo at e4c8ea6, Apache-2.0; arXiv 2307.13901).
"""

from __future__ import annotations

import csv
import gzip
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flash.spaces.network import Network
from flash.spaces.reference.detectors import CLASSES, detector_network, detector_values

Floats = NDArray[np.float64]

SOURCE = "YOLOBench, Apache-2.0"
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FLASH_SHARED") or ROOT.parent / "shared")
FOLDER = SHARED / "data" / "yolobench"


@dataclass(frozen=True)
class Detectors:
    """The rows of a table. A cell nobody measured is NaN."""

    rows: tuple[dict[str, str], ...]

    @property
    def names(self) -> list[str]:
        """As YOLOBench writes them: version, multiples, input side."""
        return [row["model"] for row in self.rows]

    @property
    def families(self) -> NDArray[np.str_]:
        """The version of each: "v3" to "v8"."""
        return np.array([f"v{name[4]}" for name in self.names])

    @property
    def sides(self) -> NDArray[np.int64]:
        """Input side of each."""
        return np.array([int(name.rpartition("_")[2]) for name in self.names])

    @property
    def kinds(self) -> NDArray[np.str_]:
        """Version and size of each, without the side."""
        return np.array([name.rpartition("_")[0] for name in self.names])

    @cached_property
    def designs(self) -> list[dict[str, int]]:
        """Each as a design of the family ``detector``."""
        return [detector_values(name) for name in self.names]

    @cached_property
    def networks(self) -> list[Network]:
        """Each with VOC's classes, as latencies were measured."""
        return [detector_network(name, CLASSES["voc"]) for name in self.names]

    def __getitem__(self, column: str) -> Floats:
        return np.array([float(row[column] or "nan") for row in self.rows])


def there() -> bool:
    """Whether the tables are there."""
    return FOLDER.is_dir()


def read_detectors(file: str = "detectors") -> Detectors:
    """``detectors`` (572 rows) or ``voc_scratch_100epochs`` (968)."""
    with gzip.open(FOLDER / f"{file}.csv.gz", "rt", newline="") as text:
        return Detectors(tuple(csv.DictReader(text)))
