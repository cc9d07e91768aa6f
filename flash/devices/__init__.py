"""Where networks are measured: this machine, one over ssh, TVM's boards, a Ray cluster's."""

from __future__ import annotations

from flash.devices.base import Device, Job
from flash.devices.local import LocalDevice
from flash.devices.ray_cluster import RayDevice
from flash.devices.ssh import SshDevice
from flash.devices.tvm_rpc import TvmRpcDevice

__all__ = ["Device", "Job", "LocalDevice", "RayDevice", "SshDevice", "TvmRpcDevice"]
