"""Where networks are measured: this machine, or one over ssh."""

from __future__ import annotations

from flash.devices.base import Device, Job
from flash.devices.local import LocalDevice
from flash.devices.ssh import SshDevice

__all__ = ["Device", "Job", "LocalDevice", "SshDevice"]
