"""NVML: energy and power of NVIDIA graphics processors, asked through their driver's library.

Physics: since Volta a counter of millijoules since the driver was loaded, updated every 20 to
100 ms; before, power only. ``nvmlDeviceGetPowerUsage`` is within 5 % and, since Ampere, a mean
over the last second. Both are of the whole board (chip, memory, regulators), whoever uses it.

onnxruntime runs on CUDA's first visible device. CUDA numbers the fastest first unless
``CUDA_DEVICE_ORDER=PCI_BUS_ID``, NVML by bus; with several devices that are not alike the
two do not agree, and nothing is measured rather than a wrong device.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, Iterator, Mapping

from flash.device.sensors.base import AbsentSensor
from flash.device.sensors.counter import Counter
from flash.device.sensors.power import PowerMeter

#: Seconds between two updates.
NVML_PERIOD_S = 0.1
#: Where the driver tells no limit: the largest boards are rated 1,200 W, with short bursts.
GPU_LIMIT_W = 2000.0
#: Short bursts reach this many times the limit that the driver enforces.
GPU_BURST = 2.0


def nvml_sensors(
    load: Callable[[str], Any] = ctypes.CDLL, environment: Mapping[str, str] = os.environ
) -> Iterator[Any]:
    """The sensor of the device that onnxruntime uses; nothing without NVIDIA's library."""
    try:
        nvml = load("libnvidia-ml.so.1")
    except OSError:
        return
    if nvml.nvmlInit_v2():
        yield AbsentSensor("nvml", "NVML: the library is there but no device answers")
        return
    device, problem = _used_device(nvml, environment)
    if problem:
        yield AbsentSensor("nvml", f"NVML: {problem}")
        return

    def energy_mj() -> float | None:
        return _asked(nvml, "nvmlDeviceGetTotalEnergyConsumption", device, ctypes.c_ulonglong())

    def power_w() -> float | None:
        value = _asked(nvml, "nvmlDeviceGetPowerUsage", device, ctypes.c_uint())
        return None if value is None else value * 1e-3

    limit = _asked(nvml, "nvmlDeviceGetEnforcedPowerLimit", device, ctypes.c_uint())
    limit_w = GPU_BURST * limit * 1e-3 if limit else GPU_LIMIT_W
    if energy_mj() is not None:
        yield Counter(
            "nvml:gpu0",
            energy_mj,
            2.0**64,
            NVML_PERIOD_S,
            "1 mJ, updated about every 0.1 s",
            "gpu",
            limit_w,
        )
    elif power_w() is not None:
        yield PowerMeter(
            "nvml:gpu0", power_w, NVML_PERIOD_S, "1 mW shown, within 5 %", "gpu", limit_w
        )
    else:
        yield AbsentSensor("nvml", "NVML: the GPU shows neither energy nor power")


def _asked(nvml: Any, function: str, device: Any, value: Any) -> float | None:
    """The number that a function of NVML writes; None where it fails or is not there."""
    ask = getattr(nvml, function, None)
    if ask is None or ask(device, ctypes.byref(value)):
        return None
    return float(value.value)


def _used_device(nvml: Any, environment: Mapping[str, str]) -> tuple[Any, str]:
    """NVML's handle of CUDA's first visible device, or why it is not known which one that is."""
    device = ctypes.c_void_p()
    visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if visible.startswith("GPU-"):
        failed = nvml.nvmlDeviceGetHandleByUUID(visible.encode(), ctypes.byref(device))
        return device, f"no device {visible}" if failed else ""
    if visible and not visible.isdigit():
        return device, f"CUDA_VISIBLE_DEVICES={visible} names no whole device"
    index = int(visible or 0)
    count = _device_count(nvml)
    by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if count > 1 and not by_bus and len(_device_names(nvml, count)) > 1:
        return device, (
            f"{count} unlike GPUs: set CUDA_DEVICE_ORDER=PCI_BUS_ID so that CUDA numbers them as "
            "NVML does"
        )
    failed = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device))
    return device, "the library is there but no device answers" if failed else ""


def _device_count(nvml: Any) -> int:
    count = ctypes.c_uint()
    ask = getattr(nvml, "nvmlDeviceGetCount_v2", None)
    return 1 if ask is None or ask(ctypes.byref(count)) else count.value


def _device_names(nvml: Any, count: int) -> set[bytes]:
    names = set()
    for index in range(count):
        device, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
        nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device))
        nvml.nvmlDeviceGetName(device, name, ctypes.c_uint(96))
        names.add(name.value)
    return names
