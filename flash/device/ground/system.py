"""Small files and programs of the operating system.

``root`` is the folder that stands for ``/``: tests show a made-up machine.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from typing import Callable

#: Longest system file that is read, in bytes: /proc/cpuinfo of 1,000 cores has about 1.5 MB.
LONGEST_FILE = 4_000_000
#: Seconds that the firmware of a Raspberry Pi has to answer; it usually takes 10 to 20 ms.
FIRMWARE_S = 5.0


def read_text(*parts: str) -> str | None:
    """The stripped content of a small system file; None where it cannot be read."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as stream:
            return stream.read(LONGEST_FILE).strip("\0 \n")
    except (OSError, ValueError):
        return None


def read_number(*parts: str) -> float | None:
    """The finite number in a small system file; None where there is none."""
    text = read_text(*parts)
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def number_reader(folder: str, name: str, factor: float) -> Callable[[], float | None]:
    """A function that reads the number in a file and multiplies it by ``factor``."""

    def read() -> float | None:
        value = read_number(folder, name)
        return None if value is None else value * factor

    return read


def product_reader(
    folder: str, first: str, second: str, factor: float
) -> Callable[[], float | None]:
    """A function that reads two numbers of a folder, volts and amperes, and multiplies them."""

    def read() -> float | None:
        u, i = read_number(folder, first), read_number(folder, second)
        return None if u is None or i is None else u * i * factor

    return read


def firmware(command: str, root: str = "/") -> str | None:
    """What ``vcgencmd`` of a Raspberry Pi answers to a command; None where it does not.

    It is looked for in the system, then on the path, and on a Raspberry Pi only.
    """
    if "Raspberry Pi" not in (read_text(root, "proc/device-tree/model") or ""):
        return None
    places = [os.path.join(root, "usr/bin"), os.environ.get("PATH", os.defpath)]
    program = shutil.which("vcgencmd", path=os.pathsep.join(places))
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=FIRMWARE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()
