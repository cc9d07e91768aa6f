"""Calibrate the detector spaces to YOLOBench's trained networks.

    python scripts/calibrate_detectors.py            writes models/detector-*.toml
    python scripts/calibrate_detectors.py --check    compares with the shipped ones (exit 1 if not)

Reads ``shared/data/yolobench`` beside the repository folder (or the folder FLASH_SHARED names):
572 detectors of Lazarevich et al. 2023 (arXiv 2307.13901), trained on COCO, and from there on
PASCAL VOC. A random third (seed 0) is fitted, the others judge the fit.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import numpy as np
from detector_data import SOURCE, Detectors, read_detectors

from flash.accuracy.level import Level
from flash.calibrate.from_table import TableCalibration, calibrate_from_table
from flash.spaces.space import SearchSpace, load_space

MODELS = Path(__file__).parents[1] / "models"
#: Space -> the table's column, and what trained the networks.
SPACES = {
    "detector-voc": ("voc_map50_95", "mAP50-95", "100 epochs from COCO weights"),
    "detector-voc-map50": ("voc_map50", "mAP50", "100 epochs from COCO weights"),
    "detector-coco": ("coco_map50_95", "mAP50-95", "300 epochs at 640 pixels"),
    "detector-coco-map50": ("coco_map50", "mAP50", "300 epochs at 640 pixels"),
}
DATA = {"voc": "PASCAL VOC", "coco": "COCO minival"}
#: One in so many is fitted.
SHARE = 3


def write_table(path: Path, space: SearchSpace, table: Detectors, name: str) -> None:
    """The rows as ``flash.calibrate --trained`` reads them."""
    column, measure, recipe = SPACES[name]
    order = np.random.default_rng(0).permutation(len(table.names))
    fitted = set(order[: -(-len(order) // SHARE)].tolist())
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["design", "accuracy", "measure", "split", "data", "recipe"])
        for k, (values, accuracy) in enumerate(zip(table.designs, table[column], strict=True)):
            split = "fit" if k in fitted else "held_out"
            data = f"{DATA[column.split('_')[0]]} ({SOURCE})"
            design = space.family.describe(values)
            rows.writerow([design, accuracy, measure, split, data, f"YOLOBench, {recipe}"])


def calibrated(name: str, out: Path) -> TableCalibration:
    """The space with its model, in the file ``out``."""
    space, table = load_space(str(MODELS / f"{name}.toml")), read_detectors()
    with tempfile.TemporaryDirectory() as folder:
        csv_file = Path(folder) / f"{name}.csv"
        write_table(csv_file, space, table, name)
        level = Level(f"{SPACES[name][1]} of compound-scaled YOLO networks by YOLOBench", 0, 0.0)
        return calibrate_from_table(str(MODELS / f"{name}.toml"), csv_file, out=out, level=level)


def main(argv: list[str] | None = None) -> int:
    """Write the spaces, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the shipped spaces")
    check = parser.parse_args(argv).check
    differing = []
    for name in SPACES:
        place = MODELS / f"{name}.toml"
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / place.name
            print(calibrated(name, made))
            text = made.read_text()
        if check and _without_date(text) != _without_date(place.read_text()):
            differing.append(place.name)
        elif not check:
            place.write_text(text)
    if differing:
        print(f"differ: {', '.join(differing)}")
    return 1 if differing else 0


def _without_date(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("date = ")]


if __name__ == "__main__":
    sys.exit(main())
