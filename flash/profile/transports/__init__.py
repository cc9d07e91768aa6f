"""Where networks are measured: this machine, one over ssh, TVM's boards, a Ray cluster's."""

from __future__ import annotations

from flash.profile.transports.base import Device, Job, Options
from flash.profile.transports.local import LocalDevice
from flash.profile.transports.ray_cluster import RayDevice
from flash.profile.transports.ssh import SshDevice
from flash.profile.transports.tvm_rpc import TvmRpcDevice

__all__ = ["Device", "Job", "LocalDevice", "Options", "RayDevice", "SshDevice", "TvmRpcDevice"]
