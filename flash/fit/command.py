"""``python -m flash.fit``: measurements -> a hardware profile, with its held-out error.

From Python: ``report = fit(["board.jsonl"], "myboard"); print(report)``, then
``report.profile``, or ``write_profile(report.profile, path)``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from flash.command import CommandParser, check_place
from flash.errors import ProfileError, UsageError, shown
from flash.files.locations import known_names
from flash.files.results import put_result, replacing
from flash.files.writing import write_text
from flash.fit.derived import derived_profile, with_kernels_in_floats
from flash.fit.doubts import better_alone, contradiction, doubts_about, of_one_unit
from flash.fit.header import (
    check_one_device,
    described,
    device_of,
    precision_of,
    runtime_name,
    runtime_of,
)
from flash.fit.report import FitReport
from flash.fitting.learning import Learned, learn
from flash.fitting.prior import Prior, data_sheet_prior, profile_prior, unknown_prior
from flash.fitting.sisters import FEW_RUNS, learn_sister
from flash.fitting.structure import known_structure
from flash.measurements.reading import FEWEST_NETWORKS, Measurements, read_measurements
from flash.quantities import parse_number
from flash.targets import load_target
from flash.targets.processor.profile import (
    BYTES,
    EXECUTES,
    FUSIONS,
    Profile,
    Runtime,
    load_profile,
)
from flash.targets.processor.profile_file import profile_text

__all__ = ["FitReport", "main", "fit"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def fit(
    measurements: Sequence[str | Path],
    name: str,
    *,
    prior: str | None = None,
    space: str = "",
    peak_gflops: float | None = None,
    memory_gb_s: float | None = None,
    power_w: float | None = None,
    runs: str | None = None,
    clock_mhz: float | None = None,
    baselines: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> FitReport:
    """Fit a profile to measurement files, one runtime a file.

    runs: what the runtime executes and merges, as in ``all,eager``; found where it is not given.
    prior: a profile of a device with the same cores. Fewer than ten runs are then enough: one fixes
    the speed, three the overhead as well. clock_mhz: of the device; with a prior and without any
    measurement its profile is derived by the clock alone. space: of the designs of CSV files.
    peak_gflops, memory_gb_s: from the data sheet, fp32 and of all cores; both or none.
    power_w: assumed where no energy was measured. baselines: whether simpler predictors are judged
    too; the profile is the same without, in half the time.

    Raises ``UsageError`` for arguments that make no sense, ``InputError`` for files that cannot
    be used.
    """
    if not measurements and (prior is None or clock_mhz is None):
        raise UsageError("give a file of measurements (or --prior and --clock: none is needed)")
    _check(name, prior, peak_gflops, memory_gb_s)
    if not measurements and prior is not None and clock_mhz is not None:
        derived = derived_profile(_board(prior), name, clock_mhz)
        return FitReport(derived, {}, ())
    sister = _board(prior).runtime if prior is not None else None
    known = _Known(
        _prior(prior, peak_gflops, memory_gb_s),
        peak_gflops is not None,
        prior or "",
        sister,
        _told(runs),
        baselines,
    )
    learned: dict[str, Learned] = {}
    runtimes: dict[str, Runtime] = {}
    problems: list[str] = []
    doubts: list[str] = []
    fewest = FEWEST_NETWORKS if sister is None else 1
    files = [read_measurements(path, space, fewest) for path in measurements]
    check_one_device(files)
    for file in files:
        own = runtime_name(file, runtimes)
        progress(f"{own}: {len(file.rows)} networks")
        file, found, odd = known.learned(file, partial(_named, progress, own))  # noqa: PLW2901
        learned[own] = found
        problems += file.problems
        doubts += odd
        precision = precision_of(file)
        runtime = runtime_of(own, file, found, precision, power_w)
        if found.coverage is None and sister is not None:
            runtime = replace(runtime, kernels=sister.kernels)
        runtimes[own] = runtime if clock_mhz is None else replace(runtime, clock_mhz=clock_mhz)
    runtimes = {key: _beside_floats(own, runtimes.values()) for key, own in runtimes.items()}
    profile = Profile(
        name,
        described(files[0]),
        "processor",
        device_of(files[0], peak_gflops, memory_gb_s),
        runtimes,
        next(iter(runtimes)),
    )
    return FitReport(profile, learned, tuple(problems), tuple(doubts))


def _named(progress: Callable[[str], None], runtime: str, text: str) -> None:
    progress(f"{runtime}: {text}")


@dataclass(frozen=True)
class _Known:
    """What is known of a device beside its measurements.

    sheet: whether the prior is of a data sheet. board, sister: the profile of ``--prior`` and its
    runtime. told: what it executes and merges. baselines: whether they are judged.
    """

    prior: Prior
    sheet: bool
    board: str
    sister: Runtime | None
    told: tuple[str, str] | None
    baselines: bool

    def learned(
        self, file: Measurements, progress: Callable[[str], None]
    ) -> tuple[Measurements, Learned, list[str]]:
        """What of the measurements is used, a runtime from it, and what is odd about it."""
        networks, element_bytes = [row.network for row in file.rows], BYTES[precision_of(file)]
        learn_file = partial(
            learn,
            networks,
            [row.kind for row in file.rows],
            file.latency_ms,
            file.energy_mj,
            element_bytes=element_bytes,
            known=None if self.told else known_structure(file.header),
            told=self.told,
            progress=progress,
        )
        doubts = list(file.doubts)
        if self.sister is not None and len(networks) < FEW_RUNS:
            found = learn_sister(networks, file.latency_ms, self.sister, element_bytes)
        else:
            found = learn_file(self.prior, data_sheet=self.sheet, baselines=self.baselines)
            if self.sister is not None:
                progress("the same without the prior")
                alone = learn_file(unknown_prior(), baselines=False)
                doubts += better_alone(file, found, alone, self.board)
        predicted = found.latency_ms(networks, element_bytes)
        usable = of_one_unit(file, predicted)
        if usable is not file:
            progress(f"again, without {len(file.rows) - len(usable.rows)} of another unit")
            return self.learned(usable, progress)
        doubts += doubts_about(file, predicted, self.sister)
        return file, found, doubts + contradiction(file, found, self.board)


def _beside_floats(runtime: Runtime, measured: Iterable[Runtime]) -> Runtime:
    """A runtime of onnxruntime in int8, what it has in floats only from the same in fp32."""
    if runtime.precision != "int8" or not runtime.framework.startswith("onnxruntime"):
        return runtime
    for other in measured:
        same = (other.framework, other.threads) == (runtime.framework, runtime.threads)
        if same and other.precision == "fp32":
            return with_kernels_in_floats(runtime, other)
    return runtime


def _check(
    name: str, prior: str | None, peak_gflops: float | None, memory_gb_s: float | None
) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: letters, digits, '.', '-' and '_' only")
    if (peak_gflops is None) != (memory_gb_s is None):
        raise UsageError("--peak-gflops and --memory-gb-s go together")
    if prior and peak_gflops is not None:
        raise UsageError("give --prior or --peak-gflops, not both")


def _clock_given(text: str | None) -> float | None:
    """MHz of ``1400MHz`` or ``1.4GHz``; a bare number is refused."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MHz|GHz)", text.strip(), re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise UsageError(f"--clock {shown(text)}: write it as 1400MHz or 1.4GHz")
    return float(found[1]) * (1000.0 if found[2].lower() == "ghz" else 1.0)


def _told(runs: str | None) -> tuple[str, str] | None:
    if runs is None:
        return None
    executes, _, fusion = runs.partition(",")
    told = executes, fusion or FUSIONS[0]
    eager = told[1] == "eager" and told[0] != "all"
    if told[0] not in EXECUTES or told[1] not in FUSIONS or eager:
        raise UsageError(
            f"--runs {shown(runs)}: expected one of {', '.join(EXECUTES)}, then a comma and one of "
            f"{', '.join(FUSIONS)} (eager after all only)"
        )
    return told


def _board(prior: str) -> Profile:
    """The profile of ``--prior``; raises ``UsageError`` for one of another kind of hardware."""
    try:
        return load_profile(prior)
    except ProfileError:
        kind = load_target(prior).summary()["kind"]  # a file that is no profile says so itself
        raise UsageError(
            f"--prior {prior}: a profile of kind {kind}; expected a processor's, of a board with "
            "the same cores, e.g. rpi3b (flash list targets)"
        ) from None


def _prior(name: str | None, peak_gflops: float | None, memory_gb_s: float | None) -> Prior:
    if name is not None:
        return profile_prior(_board(name).runtime.coefficients)
    if peak_gflops is not None and memory_gb_s is not None:
        if min(peak_gflops, memory_gb_s) <= 0:
            raise UsageError("--peak-gflops and --memory-gb-s must be above zero")
        return data_sheet_prior(peak_gflops / 2, memory_gb_s)
    return unknown_prior()


# ----------------------------------------------------------------------------- the command
def _parser() -> CommandParser:
    parser = CommandParser("fit", "Measurements of a device -> its profile, with held-out error.")
    add = parser.add_argument
    add("measurements", nargs="*", metavar="MEASUREMENTS", help="files of flash.profile, or CSV")
    add("--name", required=True, metavar="NAME", help="name of the profile")
    add("--out", metavar="FILE.toml", help="where to write it (NAME.toml)")
    add("--prior", metavar="T", help="profile of a board with the same cores: one run is enough")
    add("--clock", metavar="X", help="of the device, as in 1400MHz; with --prior no run is needed")
    add("--space", metavar="S", help="space of the designs of a CSV file")
    add("--peak-gflops", metavar="X", help="fp32, all cores, from the data sheet")
    add("--memory-gb-s", metavar="X", help="read bandwidth, from the data sheet")
    add("--power-w", metavar="W", help="assumed where no energy was measured")
    add(
        "--runs",
        metavar="WHAT",
        help="what the runtime runs, where you know: all,eager (PyTorch), ...",
    )
    add("--json", metavar="FILE", help="the report as JSON, to FILE or to stdout with '-'")
    add("--quiet", action="store_true", help="no table and no progress")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Run the command; raises ``FlashError`` for whatever the user can mend."""
    options = _parser().parse_args(arguments)
    out = options.out or f"{options.name}.toml"
    if options.out is None and options.name in known_names("hw_profiles"):
        raise UsageError(
            f"--name {options.name}: a profile of that name comes with flash, and --target "
            f"{options.name} would mean that one; give another name, or --out FILE.toml"
        )
    if Path(out).suffix != ".toml":
        raise UsageError(f"--out {out}: a profile's file ends in .toml")
    check_place(out)

    def progress(text: str) -> None:
        if not options.quiet and sys.stderr is not None:
            sys.stderr.write(f"{text}\n")

    report = fit(
        options.measurements,
        options.name,
        prior=options.prior,
        space=options.space or "",
        peak_gflops=_given(options.peak_gflops, "--peak-gflops"),
        memory_gb_s=_given(options.memory_gb_s, "--memory-gb-s"),
        power_w=_given(options.power_w, "--power-w"),
        runs=options.runs,
        clock_mhz=_clock_given(options.clock),
        progress=progress,
    )
    if sys.stderr is not None:
        for problem in report.problems:
            sys.stderr.write(f"left out: {problem}\n")
        for doubt in report.doubts if options.quiet or options.json == "-" else ():
            sys.stderr.write(f"careful: {doubt}\n")
    if options.json == "-":
        sys.stdout.write(report.to_json())
    elif not options.quiet:
        sys.stdout.write(f"{report}\n")
    # The error is told before the file is there.
    sys.stdout.flush()
    if options.json and options.json != "-":
        put_result(options.json, report.to_json(), options.quiet)
    replaced = replacing(out)
    write_text(out, profile_text(report.profile, "Written by flash.fit; its error is below."))
    progress(f"written: {out}{replaced}")


def _given(text: str | None, option: str) -> float | None:
    return None if text is None else parse_number(text, option, 1e-6, 1e9)
