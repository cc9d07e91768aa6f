"""Power sensors behind the kernel's hwmon files: INA219, INA226 and their like; ACPI meters.

Units are the interface's (Documentation/hwmon/sysfs-interface): power in microwatts, current in
milliamperes, voltage in millivolts. Where a chip shows power as well as voltage and current,
their product has to agree, or the driver's shunt resistance or unit is wrong and the chip is
not used.

Physics: INA2xx chips measure the drop over a shunt resistor in a supply and its voltage, and
multiply. Several chips on one board sit in several supplies: they are one sensor with a rail
each (see ``flash.device.sensors.rails``). The ACPI power meter is the whole machine, averaged
by its firmware over ``power1_average_interval``.
"""

from __future__ import annotations

import glob
import os
from typing import Any, Iterator

from flash.device.ground.system import number_reader, product_reader, read_number, read_text
from flash.device.sensors.base import LARGEST_W, AbsentSensor
from flash.device.sensors.power import PowerMeter
from flash.device.sensors.soc.ina3221 import ReadPower, ina3221_sensors, rail_meter

#: Below this product the steps of current and voltage are too coarse to compare, in watts.
COMPARED_FROM_W = 0.05
#: How far power may be from voltage times current: a factor of two is noise between two
#: readings of a changing load, a factor of a thousand a wrong unit.
AGREES_WITHIN = 2.0


def hwmon_sensors(root: str = "/") -> Iterator[Any]:
    """INA3221 boards, then other INA chips, then the machine's own meter."""
    yield from ina3221_sensors(root)
    chips: dict[str, tuple[str, ReadPower, float, str]] = {}
    for folder in sorted(glob.glob(os.path.join(root, "sys/class/hwmon/hwmon*"))):
        name = read_text(folder, "name") or ""
        if not name.startswith("ina") or name == "ina3221":
            continue
        found = _ina_power(folder, name)
        if isinstance(found, AbsentSensor):
            yield found
        else:
            rail = read_text(folder, "in1_label") or read_text(folder, "power1_label") or ""
            read, resolution = found
            period_s = max((read_number(folder, "update_interval") or 20.0) * 1e-3, 0.005)
            key = rail if rail and rail not in chips else f"{rail}{_place(folder)}"
            chips[key] = (name, read, period_s, resolution)
    if len(chips) == 1:
        ((name, read, period_s, resolution),) = chips.values()
        yield PowerMeter(f"hwmon:{name}", read, period_s, resolution)
    elif chips:
        rails = {rail: read for rail, (_, read, _, _) in chips.items()}
        names = "+".join(dict.fromkeys(name for name, _, _, _ in chips.values()))
        period_s = max(period for _, _, period, _ in chips.values())
        (_, _, _, resolution), *_ = chips.values()
        yield rail_meter(names, rails, period_s, resolution, LARGEST_W)
    yield from _acpi_meters(root)


def _ina_power(folder: str, name: str) -> Any:
    """(function that reads watts, resolution) of a chip, or why there is none."""
    shown = number_reader(folder, "power1_input", 1e-6)
    # in0 is the shunt where in1 is the bus (INA2xx); one-voltage chips have in1 only.
    product = product_reader(folder, "in1_input", "curr1_input", 1e-6)
    watts, expected = shown(), product()
    if watts is not None and expected is not None and abs(expected) >= COMPARED_FROM_W:
        ratio = watts / expected
        if not 1 / AGREES_WITHIN <= abs(ratio) <= AGREES_WITHIN:
            return AbsentSensor(
                f"hwmon:{name}",
                f"hwmon {name}: power1_input says {watts:.4g} W, in1 times curr1 {expected:.4g} W: "
                "a unit or the shunt resistance is wrong",
            )
    if watts is not None:
        return shown, "as the driver reports: power1_input in uW"
    if expected is not None:
        return product, "1 mV times 1 mA"
    return AbsentSensor(
        f"hwmon:{name}", f"hwmon {name}: shows neither power1_input nor in1_input and curr1_input"
    )


def _place(folder: str) -> str:
    """Where a chip sits, such as ``1-0040`` on an I2C bus."""
    device = os.path.realpath(os.path.join(folder, "device"))
    known = os.path.basename(device)
    return known if known != "device" else os.path.basename(folder)


def _acpi_meters(root: str) -> Iterator[Any]:
    for folder in sorted(glob.glob(os.path.join(root, "sys/class/hwmon/hwmon*"))):
        if read_text(folder, "name") != "power_meter":
            continue
        read = number_reader(folder, "power1_average", 1e-6)
        if read() is None:
            yield AbsentSensor("hwmon:power_meter", "hwmon power_meter: not readable; run as root")
            continue
        period_s = max((read_number(folder, "power1_average_interval") or 1000.0) * 1e-3, 0.05)
        yield PowerMeter(
            "hwmon:power_meter",
            read,
            period_s,
            "as the firmware averages: power1_average in uW",
            "machine",
        )
