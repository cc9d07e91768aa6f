"""Networks run on a device -> measurements: ``python -m flash.profile``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flash.extras import lazily

if TYPE_CHECKING:
    from flash.profile.measuring import profile
    from flash.profile.result import ProfileResult
    from flash.profile.transports import (
        Device,
        LocalDevice,
        RayDevice,
        SshDevice,
        TvmRpcDevice,
    )

__all__ = [
    "Device",
    "LocalDevice",
    "ProfileResult",
    "RayDevice",
    "SshDevice",
    "TvmRpcDevice",
    "profile",
]

_TRANSPORTS = ("Device", "LocalDevice", "RayDevice", "SshDevice", "TvmRpcDevice")

__getattr__ = lazily(
    __name__,
    {"profile": ("measuring", ""), "ProfileResult": ("result", "")}
    | dict.fromkeys(_TRANSPORTS, ("transports", "")),
)
