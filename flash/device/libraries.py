"""numpy and onnxruntime, imported when the arguments are known to be right."""

from __future__ import annotations

import importlib
import os
import signal
import struct
from typing import Any

from flash.device.ground.refusal import Refused


class Libraries:
    """Where the two libraries are once ``import_runtime`` has found them."""

    numpy: Any = None
    onnxruntime: Any = None


def import_runtime() -> None:
    """Import numpy and onnxruntime, or raise ``Refused`` with the command that installs them."""
    # From 1.32 on it reports its use to its makers, while others measure, and leaves a file.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        Libraries.numpy = importlib.import_module("numpy")
        Libraries.onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # how numpy reports an interrupt
            raise KeyboardInterrupt from None
        if struct.calcsize("P") == 4:
            raise Refused(
                "onnxruntime does not exist for 32-bit systems: install the 64-bit system (on a "
                "Raspberry Pi 3 or newer: Raspberry Pi OS 64-bit), then: python3 -m pip install "
                "numpy onnxruntime",
                1,
            ) from None
        raise Refused(
            f"{error}: python3 -m venv v && v/bin/pip install numpy onnxruntime, then run this "
            "with v/bin/python",
            1,
        ) from None
