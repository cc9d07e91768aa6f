"""Hardware that people ask for and no profile is of: what can be done about it."""

from __future__ import annotations

import re

__all__ = ["what_to_do"]

_MEASURE = (
    ": no profile of it comes with flash, and three commands make one: "
    "flash profile --ssh USER@BOARD --out {name}.jsonl; flash fit {name}.jsonl --name {name}; "
    "flash search --target {name}"
)
#: What a name sounds like -> the rest of the message; the first that fits.
_ANSWERS = (
    *(
        (rf"^(rpi|raspberry[-_ ]?(pi)?|pi)[-_ ]?{model}$", f" (did you mean '{known}'?)")
        for model, known in (
            (r"3[-_ ]?(b[-_ ]?)?(\+|plus)", "rpi3b-plus"),
            (r"3[-_ ]?b?", "rpi3b"),
            (r"4[-_ ]?b?", "rpi4b"),
            (r"5[-_ ]?b?", "rpi5"),
            (r"zero[-_ ]?2[-_ ]?w?", "rpi-zero-2w"),
        )
    ),
    (
        r"stm32|cortex-?m|esp32|arduino|\bmcu\b|microcontroller|rp2040|pico|nrf5",
        ": a microcontroller runs no Python and no onnxruntime, so flash cannot measure it; flash "
        "estimate MODEL.onnx without a target gives params, MACs and memory, and flash fit takes "
        "runtimes that you measured (a CSV of design,latency_ms)",
    ),
    (
        r"coral|edge-?tpu|hailo|myriad|movidius|kneron|\bnpu\b|rknn",
        ": its compiler decides what runs where, which no model here knows; edge-tpu-like is an "
        "analytical array of its size, and flash fit takes runtimes that you measured (a CSV of "
        "design,latency_ms)",
    ),
    (
        r"android|iphone|pixel|snapdragon|galaxy|phone",
        ": flash does not run on phones; flash fit takes runtimes that you measured there (a CSV "
        "of design,latency_ms)",
    ),
    (
        r"jetson|orin|xavier|\btx[12]\b|\bnano|rk35|rk33|rock|odroid|beagle|orange|banana|khadas|"
        r"nvidia|rtx|gtx|a100|h100|cuda|gpu|laptop|desktop|server|xeon|core-?i|ryzen|epyc|"
        r"macbook|graviton|raspberry|board|^r?pi-?(1|2|5|400|500|zero)",
        _MEASURE,
    ),
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def what_to_do(name: str) -> str:
    """The rest of a message about an unknown target; empty where the name says nothing.

    >>> "three commands" in what_to_do("jetson-nano"), what_to_do("thing")
    (True, '')
    """
    for pattern, answer in _ANSWERS:
        if re.search(pattern, name, re.IGNORECASE):
            short = name.lower() if _NAME.fullmatch(name) else "board"
            return answer.format(name=short)
    return ""
