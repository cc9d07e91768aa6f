"""Boards without a board: what flash ships for 64-bit ARM, run under qemu's user emulation.

    python scripts/validate/arm64.py --python './python-a53' [--part tvm|profile]

``--python`` starts an aarch64 Python 3.11 with numpy, onnxruntime, apache-tvm and
apache-tvm-ffi; the versions are those of flash's extra ``tvm``. It checks that

* tvm:     the library TVM cross-compiles for the balanced design of ``rpi3b`` gives what
           onnxruntime gives here (1e-3 of the largest output);
* profile: ``scripts/profile_device.py`` measures a suite there, end to end, and says it ran on
           aarch64.

Emulated times say nothing about a board and are not printed. Exit code 1 if a check fails.

Such a Python on Debian 12, without root's rights or a second stage (ROOT and SITE are folders):

    apt install debootstrap qemu-user-static g++-aarch64-linux-gnu
    debootstrap --arch=arm64 --foreign --variant=minbase \\
        --include=python3,libstdc++6,libgomp1 bookworm ROOT
    for d in ROOT/var/cache/apt/archives/*.deb; do dpkg -x $d ROOT; done
    pip download --no-deps --only-binary=:all: --python-version 3.11 \\
        --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 PACKAGES
    for w in *.whl; do python3 -m zipfile -e $w SITE; done
    PYTHONPATH=SITE qemu-aarch64-static -cpu cortex-a53 -L ROOT ROOT/usr/bin/python3.11 "$@"

onnxruntime reads /proc/cpuinfo and /sys/devices/system/cpu when it is imported, and crashes on
those of a PC: ROOT needs files of a board there (qemu looks in ROOT first).
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from flash.export import export
from flash.search import search

SCRIPT = Path(__file__).resolve().parents[1] / "profile_device.py"
#: Emulation on a busy machine takes its time; importing TVM alone a minute or two.
TIMEOUT_S = 1800
#: Small: an emulated processor is a hundred times slower.
WORKLOADS = ("8x16x16: conv k3 8", "8x16x16: dw k3 *2; conv k1 16")


def library_agrees(python: str, folder: Path) -> str:
    """Export the balanced design with ``--verify-with``; returns what was verified."""
    report = folder / "front.json"
    report.write_text(search(target="rpi3b").to_json(), encoding="utf-8")
    done = export(report, out=folder / "build", format="tvm", verify_with=python)
    (entry,) = done.manifest["designs"]
    (build,) = entry["builds"]
    return f"{entry['description']}: {'; '.join(build['verified'])}"


def profiler_runs(python: str, folder: Path) -> str:
    """Measure the workloads there; returns how many records came back."""
    suite, out = folder / "suite.zip", folder / "measured.jsonl"
    workloads = folder / "workloads.txt"
    workloads.write_text("\n".join(WORKLOADS) + "\n", encoding="utf-8")
    made = [sys.executable, "-m", "flash.profile", f"--workloads={workloads}"]
    made += [f"--write-suite={suite}"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    command = [*shlex.split(python), str(SCRIPT), f"--suite={suite}", f"--out={out}"]
    command += ["--budget=5min", "--threads=1", "--quiet"]
    subprocess.run(command, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL)
    head, *records = (json.loads(line) for line in out.read_text().splitlines())
    if head["device"]["arch"] != "aarch64":
        raise SystemExit(f"FAILED: ran on {head['device']['arch']}, not aarch64")
    measured = [record for record in records if "latency_ms" in record]
    if len(measured) < len(WORKLOADS):
        raise SystemExit(f"FAILED: {len(measured)} of {len(WORKLOADS)} workloads were measured")
    return f"{len(measured)} workloads measured on {head['device']['cpu']}, aarch64"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--python", required=True, help="command that starts the aarch64 Python")
    parser.add_argument("--part", choices=("tvm", "profile"), help="one of the checks only")
    options = parser.parse_args()
    checks = {"tvm": library_agrees, "profile": profiler_runs}
    for name, check in checks.items():
        if options.part in (None, name):
            with tempfile.TemporaryDirectory(prefix="flash-arm64-") as folder:
                print(f"{name}: {check(options.python, Path(folder))}")


if __name__ == "__main__":
    main()
