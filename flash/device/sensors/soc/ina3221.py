"""INA3221: three supply rails at once, on every NVIDIA Jetson but the Nano 2GB.

Physics: each channel measures the drop over a shunt resistor in a rail and the rail's voltage;
power is their product over the resistance. Steps are 40 uV over the shunt (8 mA at 5 mOhm) and
8 mV. The chip converts channel after channel; drivers show new values every few milliseconds
to hundreds of milliseconds, as averaging is set.

The kernel's driver (hwmon, JetPack 5 and newer) shows mV, mA and the board's name of each rail;
NVIDIA's older driver (iio) shows mW. A rail named NC or switched off has no reading. All rails
of all chips are one sensor: its power is that of the module's input where the board names one
(``VDD_IN``), else the sum of all rails; each rail's own energy stays in ``parts_mj``.

Domain of validity: the module's rails, not the carrier board's, nor what hangs on it.
"""

from __future__ import annotations

import glob
import os
from typing import Any, Callable, Iterator

from flash.device.ground.system import number_reader, product_reader, read_number, read_text
from flash.device.sensors.base import AbsentSensor
from flash.device.sensors.power import RailMeter
from flash.device.sensors.rails import supply_rails

#: Seconds between samples where the driver tells no period.
INA3221_PERIOD_S = 0.02
#: The largest module, Jetson Thor, is rated 130 W.
JETSON_LIMIT_W = 300.0
#: How device trees call a channel that measures nothing.
NO_RAIL = ("NC", "N/A", "OPEN")

ReadPower = Callable[[], "float | None"]


def ina3221_sensors(root: str = "/") -> Iterator[Any]:
    """All rails of all INA3221 chips as one sensor; nothing where there is no such chip."""
    every = sorted(glob.glob(os.path.join(root, "sys/class/hwmon/hwmon*")))
    folders = [folder for folder in every if read_text(folder, "name") == "ina3221"]
    if not folders:
        folders = sorted(
            glob.glob(os.path.join(root, "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*"))
        )
    rails = dict(rail for folder in folders for rail in _hwmon_rails(folder))
    pattern = "sys/bus/i2c/drivers/ina3221x/*/iio:device*"
    older = sorted(glob.glob(os.path.join(root, pattern)))
    if not rails:
        rails = dict(rail for folder in older for rail in _iio_rails(folder))
    if rails:
        yield rail_meter("ina3221", rails, _period_s(folders), "1 mV times 1 mA", JETSON_LIMIT_W)
    elif folders or older:
        yield AbsentSensor("ina3221", "ina3221: no channel can be read: run as root")


def rail_meter(
    chip: str, rails: dict[str, ReadPower], period_s: float, resolution: str, limit_w: float
) -> RailMeter:
    """One sensor for named rails, its name saying which of them it adds."""
    total = supply_rails(list(rails))

    def read() -> dict[str, float] | None:
        found = {name: rail() for name, rail in rails.items()}
        known = {name: watts for name, watts in found.items() if watts is not None}
        return known if len(known) == len(found) else None

    return RailMeter(
        f"hwmon:{chip} {'+'.join(total)}", read, total, period_s, resolution, "board", limit_w
    )


def _hwmon_rails(folder: str) -> Iterator[tuple[str, ReadPower]]:
    """(name, function that reads watts) of the channels of a chip that can be read."""
    for channel in ("1", "2", "3"):
        read = product_reader(folder, f"in{channel}_input", f"curr{channel}_input", 1e-6)
        label = read_text(folder, f"in{channel}_label") or ""
        if label.upper() in NO_RAIL or read_number(folder, f"in{channel}_enable") == 0:
            continue
        if read() is not None:
            yield label or f"{os.path.basename(folder)}/{channel}", read


def _iio_rails(folder: str) -> Iterator[tuple[str, ReadPower]]:
    for channel in ("0", "1", "2"):
        label = read_text(folder, f"rail_name_{channel}") or ""
        read = number_reader(folder, f"in_power{channel}_input", 1e-3)
        if label.upper() not in NO_RAIL and read() is not None:
            yield label or f"{os.path.basename(folder)}/{channel}", read


def _period_s(folders: list[str]) -> float:
    told = [read_number(folder, "update_interval") or 0.0 for folder in folders]
    return max([INA3221_PERIOD_S, *(1e-3 * ms for ms in told)])
