"""An INA219 or INA226 on an I2C bus without the kernel's driver, such as one on a breadboard.

Physics (Texas Instruments SBOS448G, SBOS547A): the chip measures the drop over a shunt resistor
in the supply and the supply's voltage; power is their product over the resistance. INA219:
shunt 10 uV, bus 4 mV a step; INA226: 2.5 uV and 1.25 mV. They are told apart by the
manufacturer's register of the INA226.

Domain of validity: a drop within the range (320 mV, 82 mV); at its end the chip shows the end,
so the window has no energy. A chip whose converter is switched off shows old values: refused.
"""

from __future__ import annotations

import re
from typing import Any, Callable

from flash.device.ground.refusal import Refused
from flash.device.sensors.power import PowerMeter, WindowInvalid

#: Seconds between samples: a conversion of both values takes about 1 ms.
I2C_PERIOD_S = 0.005
#: The manufacturer's register of the newer chips, and what their other register says they are.
_TEXAS_INSTRUMENTS = 0x5449
_OTHER_CHIPS = {0x3220: "INA3221", 0x2270: "INA260"}
#: The end of the range: 320 mV in steps of 10 uV (INA219), all bits (INA226).
_LARGEST_DROP = {False: 32_000, True: 32_767}
#: Highest supply voltage of either chip.
_LARGEST_V = 36.0


def i2c_sensor(place: str, shunt_ohm: float, bus: Any = None) -> PowerMeter:
    """The sensor at ``place``, as ``1:0x40``; needs smbus2 or smbus.

    Raises ``Refused`` where there is no such chip, or one that this cannot read.
    """
    match = re.match(r"([0-9]{1,3}):(0x[0-9a-fA-F]{1,2})$", place)
    if match is None:
        raise Refused(f"--i2c {place}: expected BUS:ADDRESS such as 1:0x40")
    if bus is None:
        bus = _smbus(int(match.group(1)), place)
    word = _word_reader(bus, int(match.group(2), 16))
    newer = _is_newer(word, place)

    def power_w() -> float | None:
        try:
            drop, supply = word(0x01), word(0x02)
        except OSError:
            return None
        drop -= 0x10000 if drop & 0x8000 else 0
        if abs(drop) >= _LARGEST_DROP[newer]:
            raise WindowInvalid("the drop over the shunt is out of range: use a smaller resistor")
        volts = supply * 1.25e-3 if newer else (supply >> 3) * 4e-3
        return volts * drop * (2.5e-6 if newer else 1e-5) / shunt_ohm

    step = "2.5 uV on the shunt, 1.25 mV" if newer else "10 uV on the shunt, 4 mV"
    largest_w = _LARGEST_V * (0.082 if newer else 0.32) / shunt_ohm
    name = f"i2c:{'ina226' if newer else 'ina219'}"
    return PowerMeter(name, power_w, I2C_PERIOD_S, step, "board", largest_w)


def _word_reader(bus: Any, address: int) -> Callable[[int], int]:
    def word(register: int) -> int:
        value = int(bus.read_word_data(address, register))
        return (value & 0xFF) << 8 | value >> 8  # the chip sends the high byte first

    return word


def _is_newer(word: Callable[[int], int], place: str) -> bool:
    """Whether the chip is an INA226; raises ``Refused`` for what is neither."""
    try:
        newer = word(0xFE) == _TEXAS_INSTRUMENTS
    except OSError:
        raise Refused(f"--i2c {place}: no chip answers there") from None
    try:
        other = _OTHER_CHIPS.get(word(0xFF) & 0xFFF0) if newer else None
        mode = word(0x00) & 0b111
    except OSError:
        return newer
    if other is not None:
        raise Refused(f"--i2c {place}: an {other} answers there: load the kernel's driver for it")
    if mode != 0b111:
        raise Refused(f"--i2c {place}: the chip is not set to measure shunt and bus continuously")
    return newer


def _smbus(number: int, place: str) -> Any:
    for name in ("smbus2", "smbus"):
        try:
            return __import__(name).SMBus(number)
        except ImportError:
            continue
        except OSError as error:
            raise Refused(f"--i2c {place}: cannot open the bus: {error.strerror}") from None
    raise Refused("--i2c needs the package smbus2: python3 -m pip install smbus2")
