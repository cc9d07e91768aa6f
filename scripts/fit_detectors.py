"""Fit boards to YOLOBench's latencies of detectors, and write the profiles they alone make up.

    python scripts/fit_detectors.py            write rpi5, jetson-nano-gpu and a40
    python scripts/fit_detectors.py --check    compare with the shipped ones (exit 1 if not)

``rpi4b`` has other measurements beside these: ``scripts/fit_raspberry_pi.py`` writes it, with the
runtimes that ``rpi4b_runtimes`` makes here. Each runtime is fitted to ``FITTED`` random detectors
(seed 0) by ``flash.fitting.learn``, as ``flash.fit`` does; the others judge the fit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from detector_data import ROOT, Floats, read_detectors, there
from numpy.typing import NDArray

from flash.fitting.fitted import quality, significant
from flash.fitting.learning import Learned, latency_by, learn
from flash.fitting.prior import Prior, data_sheet_prior, unknown_prior
from flash.spaces.network import Network
from flash.targets.processor.kernel_classes import KERNEL_CLASSES
from flash.targets.processor.profile import (
    BYTES,
    NO_ENERGY,
    Coefficients,
    Device,
    Energy,
    Profile,
    Provenance,
    Runtime,
)
from flash.targets.processor.profile_file import profile_text, write_profile

DATE = "2026-12-01"
SOURCE = (
    "YOLOBench (Lazarevich et al. 2023, arXiv 2307.13901): Deeplite/deeplite-torch-zoo (e4c8ea6) "
    "results/yolobench, Apache-2.0"
)
COMMENT = "Written by scripts/fit_detectors.py; do not edit."
#: Detectors in a shipped fit.
FITTED = 200


@dataclass(frozen=True)
class Column:
    """A column of latencies, and what made them. The source states no threads and no clock."""

    file: str
    column: str
    framework: str
    precision: str = "fp32"

    def measured(self) -> tuple[NDArray[np.intp], Floats]:
        """The rows that were measured, and their latencies in ms."""
        latency_ms = read_detectors(self.file)[self.column]
        rows = np.flatnonzero(~np.isnan(latency_ms))
        return rows, latency_ms[rows]


ALL, FULL = "voc_scratch_100epochs", "detectors"
PI4 = {
    "ort": Column(ALL, "pi4_ort_ms", "onnxruntime"),
    "tflite_detectors": Column(ALL, "pi4_tflite_fp32_ms", "TFLite"),
    "tflite_int8_detectors": Column(ALL, "pi4_tflite_int8_ms", "TFLite", "int8"),
}
PI5 = Column(FULL, "pi5_ort_ms", "onnxruntime")
NANO = Column(ALL, "jetson_nano_gpu_ms", "GPU, runtime not stated")
A40 = Column(FULL, "a40_tensorrt_ms", "TensorRT")


def learned(of: Column, prior: Prior) -> tuple[Learned, list[Network], Floats]:
    """A fit to ``FITTED`` detectors of a column, and the others with their latencies (ms)."""
    table, (rows, latency_ms) = read_detectors(of.file), of.measured()
    order = np.random.default_rng(0).permutation(len(rows))
    some, rest = order[:FITTED], order[FITTED:]
    networks = [table.networks[row] for row in rows]
    found = learn(
        [networks[k] for k in some],
        table.families[rows[some]].tolist(),
        latency_ms[some],
        None,
        prior,
        element_bytes=BYTES[of.precision],
        baselines=False,
    )
    return found, [networks[k] for k in rest], latency_ms[rest]


def windows_in_order(c: Coefficients) -> Coefficients:
    """Coefficients by which no window costs less to start than one of 3x3.

    Of other windows detectors have few, so that a chain of 5x5 would be predicted faster than the
    same of 3x3. The class holds windows of 3x3 and stride 2 too: raised in every fit, it would err
    where those are what was measured (NAS-Bench-201 on GPUs, 3.3 % in place of .2).
    """
    by_class = list(c.overhead_us)
    large, usual = (KERNEL_CLASSES.index(name) for name in ("conv", "conv3x3"))
    by_class[large] = max(by_class[large], by_class[usual])
    return replace(c, overhead_us=tuple(by_class))


def fitted_runtime(name: str, of: Column, prior: Prior, energy: Energy = NO_ENERGY) -> Runtime:
    """The runtime of a column, its errors on detectors that were not fitted."""
    found, rest, latency_ms = learned(of, prior)
    variants = [replace(v, coefficients=windows_in_order(v.coefficients)) for v in found.variants]
    figures = quality(latency_ms, latency_by(variants, rest, BYTES[of.precision]))
    main, *others = variants
    return Runtime(
        name,
        of.framework,
        "as in YOLOBench (version not stated)",
        0,
        0.0,
        of.precision,
        main.executes,
        main.coefficients,
        found.interval,
        energy,
        Provenance(
            how="fitted",
            networks=FITTED,
            held_out=f"{len(rest)} other detectors",
            **{key: significant(value) for key, value in figures.items()},
            date=DATE,
            sources=(SOURCE,),
        ),
        fusion=main.fusion,
        lanes=main.lanes,
        alternatives=tuple(others),
    )


def rpi4b_runtimes(prior: Prior, energy: Energy) -> dict[str, Runtime]:
    """The Pi 4's runtimes of detectors; eight bits draw other power, which nobody measured."""
    return {
        name: fitted_runtime(name, of, prior, energy if of.precision == "fp32" else NO_ENERGY)
        for name, of in PI4.items()
    }


#: Facts from the makers' pages. Peaks: 8 fp32 operations a cycle and Cortex-A57 core, 16 a
#: Cortex-A76; of GPUs two a core and cycle.
RPI5 = Device(
    "BCM2712",
    "4x Arm Cortex-A76",
    4,
    2400.0,
    153.6,
    0.0,
    ("https://www.raspberrypi.com/products/raspberry-pi-5",),
)
JETSON_NANO = Device(
    "Tegra X1",
    "Maxwell GPU of 128 cores",
    0,
    921.6,
    235.9,
    25.6,
    ("https://developer.nvidia.com/embedded/jetson-nano",),
)
NVIDIA_A40 = Device(
    "GA102",
    "Ampere GPU of 10,752 cores",
    0,
    1740.0,
    37420.0,
    696.0,
    ("https://www.nvidia.com/en-us/data-center/a40",),
)


#: Name, description, device, runtime, its column and prior of boards that YOLOBench alone measured.
ALONE = (
    ("rpi5", "Raspberry Pi 5", RPI5, "ort", PI5, data_sheet_prior(76.8, 8.0)),
    ("jetson-nano-gpu", "NVIDIA Jetson Nano, GPU", JETSON_NANO, "gpu", NANO, unknown_prior()),
    ("a40", "NVIDIA A40", NVIDIA_A40, "tensorrt", A40, unknown_prior()),
)


def every_profile() -> Iterator[Profile]:
    """The profiles of boards that YOLOBench alone measured."""
    for name, description, device, runtime, of, prior in ALONE:
        found = fitted_runtime(runtime, of, prior)
        yield Profile(name, description, "processor", device, {runtime: found}, runtime)


def main(arguments: Sequence[str]) -> int:
    """Write or check the profiles; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(arguments).check
    if not there():
        print("no YOLOBench: the measurements are needed", file=sys.stderr)
        return 4
    wrong = 0
    for profile in every_profile():
        path = ROOT / "hw_profiles" / f"{profile.name}.toml"
        if check:
            same = path.exists() and path.read_text("utf-8") == profile_text(profile, COMMENT)
            print(f"{path.name}: {'as shipped' if same else 'DIFFERS'}")
            wrong += not same
        else:
            write_profile(profile, path, COMMENT)
            print(profile.provenance_line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
