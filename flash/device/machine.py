"""What the device is, as far as its system files tell: for the header of a result file."""

from __future__ import annotations

import platform
import re
from typing import Any

from flash.device.ground.system import read_text
from flash.device.processor import usable_cores


def device_info(root: str = "/") -> dict[str, Any]:
    """Model, processor, usable cores, architecture, vector width in bits, memory in 10^6 bytes."""
    cpuinfo = read_text(root, "proc/cpuinfo") or ""
    names = re.findall(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    model = read_text(root, "proc/device-tree/model")
    vendor = (read_text(root, "sys/class/dmi/id", n) for n in ("sys_vendor", "product_name"))
    memory = re.search(r"MemTotal:\s*(\d{1,15}) kB", read_text(root, "proc/meminfo") or "")
    return {
        "model": model or " ".join(word for word in vendor if word) or platform.machine(),
        "cpu": _cpu_name(cpuinfo) or (names[0].strip() if names else platform.processor()),
        "cores": usable_cores(root),
        "arch": platform.machine(),
        "simd_bits": simd_width(cpuinfo),
        "ram_mb": round(int(memory.group(1)) * 1024e-6) if memory else None,
    }


def simd_width(cpuinfo: str) -> int | None:
    """Bits of the widest vector instructions (x86 and 64-bit ARM), if the system tells."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = found.group(1).split() if found else []
    for name, bits in (("avx512f", 512), ("avx", 256), ("sse2", 128), ("asimd", 128)):
        if name in flags:
            return bits
    return None


#: Implementer and part of ARM cores (MIDR_EL1) that boards of our users have.
_ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd42": "Cortex-A78AE",
    "0xd41": "Cortex-A78",
    "0xd40": "Neoverse-V1",
}


def _cpu_name(cpuinfo: str) -> str:
    parts = re.findall(r"^CPU part\s*:\s*(0x\w+)$", cpuinfo, re.MULTILINE)
    return " + ".join(dict.fromkeys(_ARM_PARTS.get(p.lower(), p) for p in parts))


def governor(root: str = "/") -> str | None:
    """How the clock is chosen, such as ``performance``."""
    return read_text(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None


def system_name() -> str:
    """Distribution and kernel."""
    text = read_text("/etc/os-release") or ""
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
    return f"{match.group(1) if match else platform.system()}, Linux {platform.release()}"
