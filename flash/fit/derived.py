"""A board's profile derived from a known one with the same cores, by the clock alone."""

from __future__ import annotations

from dataclasses import replace

from flash.errors import UsageError
from flash.fitting.fitted import rounded
from flash.fitting.sisters import at_clock, expected_figures, sister_interval
from flash.targets.processor.profile import NO_ENERGY, Device, Profile, Runtime

__all__ = ["derived_profile"]


def derived_profile(
    known: Profile, name: str, clock_mhz: float, device: Device | None = None, title: str = ""
) -> Profile:
    """What is to be expected of a board with the cores of ``known`` at another clock.

    Cores compute and launch in proportion to the clock, memory stays. Nothing was measured on the
    board, so its energy is not known, and the interval is that of other boards predicted so.
    device: its facts, where they are known. title: its description.

    Raises ``UsageError`` where no clock is stated for any runtime of ``known``.
    """
    runtimes = {
        key: _derived(runtime, known.name, clock_mhz)
        for key, runtime in known.runtimes.items()
        if runtime.clock_mhz > 0
    }
    if not runtimes:
        raise UsageError(f"--clock: profile {known.name} does not state its own clock")
    facts = device or replace(
        known.device,
        soc="not stated",
        cpu="not stated",
        cores=0,
        clock_mhz=clock_mhz,
        peak_gflops=0.0,
        memory_gb_s=0.0,
        sources=("given with the fit",),
    )
    default = known.default_runtime if known.default_runtime in runtimes else next(iter(runtimes))
    return Profile(
        name,
        title or f"derived from {known.name} at {clock_mhz:g} MHz",
        "processor",
        facts,
        runtimes,
        default,
        known.tvm,
    )


def _derived(runtime: Runtime, known: str, clock_mhz: float) -> Runtime:
    factor, figures = clock_mhz / runtime.clock_mhz, expected_figures(0)
    return replace(
        runtime,
        clock_mhz=clock_mhz,
        coefficients=rounded(at_clock(runtime.coefficients, factor)),
        alternatives=tuple(
            replace(v, coefficients=rounded(at_clock(v.coefficients, factor)))
            for v in runtime.alternatives
        ),
        interval=sister_interval(runtime.interval, 0),
        energy=NO_ENERGY,
        provenance=replace(
            runtime.provenance,
            how="prior",
            networks=0,
            held_out=f"derived from {known} by the clock; other boards derived so",
            median_error_percent=figures["median_error_percent"],
            mape_percent=figures["mape_percent"],
            spearman=figures["spearman"],
        ),
    )
