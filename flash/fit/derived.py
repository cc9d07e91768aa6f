"""What was not measured on a board, from what was: other boards' clocks, other number formats."""

from __future__ import annotations

from dataclasses import replace

from flash.errors import UsageError
from flash.fitting.fitted import rounded
from flash.fitting.sisters import at_clock, expected_figures, sister_interval
from flash.targets.processor.kernel_classes import KERNEL_CLASSES
from flash.targets.processor.profile import BYTES, NO_ENERGY, Device, Profile, Runtime
from flash.targets.processor.runtime import NOT_STATED

__all__ = ["derived_profile", "with_kernels_in_floats"]

#: Classes of kernels that onnxruntime has in floats only: between a dequantization and a
#: quantization of its own where the network is in int8 (activations but for a few, normalisation,
#: recurrent layers, transposed convolutions; read off its optimised graphs of 31 QDQ networks).
_IN_FLOATS = ("activation", "norm", "recurrent", "transposed")


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
        soc=NOT_STATED,
        cpu=NOT_STATED,
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


def with_kernels_in_floats(int8: Runtime, fp32: Runtime) -> Runtime:
    """A runtime of eight bits in which classes that only run in floats take what they take there.

    Only those that were not measured in eight bits: without this their rates would be what is
    expected beside fast integer products. Two conversions are called around each kernel, but not
    around the steps of a recurrent layer.
    """
    c, f = int8.coefficients, fp32.coefficients
    rates, bandwidths, overheads = list(c.gmac_s), list(c.gb_s), list(c.overhead_us)
    conversions = 2 * c.overhead_us[KERNEL_CLASSES.index("elementwise")]
    missing = [name for name in _IN_FLOATS if name not in int8.interval.classes]
    for name in missing:
        kind = KERNEL_CLASSES.index(name)
        rates[kind] = f.gmac_s[kind]
        # Per element: four bytes there, one here.
        bandwidths[kind] = f.gb_s[kind] * BYTES[int8.precision] / BYTES[fp32.precision]
        overheads[kind] = f.overhead_us[kind] + (0.0 if name == "recurrent" else conversions)
    if not missing:
        return int8
    own = replace(
        c, gmac_s=tuple(rates), gb_s=tuple(bandwidths), overhead_us=tuple(overheads)
    )  # fmt: skip
    source = f"{', '.join(missing)}: as in floats ({fp32.name})"
    provenance = replace(int8.provenance, sources=(*int8.provenance.sources, source))
    return replace(int8, coefficients=rounded(own), provenance=provenance)
