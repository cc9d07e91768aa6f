"""Sister boards: a known board's profile as the prior for another with the same cores.

    python scripts/validate/sisters.py

ncnn's benchmark on boards with Cortex-A53, A57, A72 and A76, fp32 on the CPU: ten networks, as many
as flash has as reference networks. For each board, each of two others with the same core is the
known one, fitted from its networks; of the board itself 1, 3 or 5 random networks are measured and
the others predicted. One factor on the known board's predictions is what must be beaten.
Also from no run at all, by the clock, over the A53 boards whose clock is known. Two minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raspberry_pi_data import (  # noqa: E402
    NCNN_MODELS,
    NCNN_NAMES,
    SHARED,
    Floats,
    read_csv,
    read_pi3,
)  # fmt: skip

from flash.fitting.fit import fit_one  # noqa: E402
from flash.fitting.fitted import quality  # noqa: E402
from flash.fitting.prior import data_sheet_prior  # noqa: E402
from flash.fitting.sisters import at_clock, contradiction, half_width, sister_prior  # noqa: E402
from flash.fitting.workload import Workload, workload  # noqa: E402
from flash.spaces.reference import reference_network  # noqa: E402
from flash.targets.processor.profile import Coefficients  # noqa: E402

#: Core -> beginning of a device's name, threads, cluster (ncnn's powersave), chip, clock in GHz
#: where it is stated.
BOARDS = {
    "A53": (
        ("Qualcomm MSM8916", "4", "0", "Snapdragon 410", 1.2),
        ("Rockchip RK3399 (Cortex-A72", "4", "1", "RK3399", 1.5),
        ("OrangePi4 LTS", "4", "1", "RK3399", 1.5),
        ("RDK X3", "4", "0", "RDK X3", 1.5),
        ("NanoPi R2S", "4", "0", "RK3328", 1.3),
        ("EAIDK 310", "4", "0", "RK3228H", 1.3),
        ("AXERA AX630C", "2", "0", "AX630C", None),
        ("Arduino UNO Q", "4", "0", "QRB2210", 2.0),
    ),
    "A57": (
        ("NVIDIA Jetson Nano", "4", "0", "Jetson Nano", None),
        ("Qualcomm MSM8994", "4", "2", "Snapdragon 810", None),
        ("NVIDIA Jetson TX2 NX", "6", "0", "TX2", None),
    ),
    "A72": (
        ("Rockchip RK3399 (Cortex-A72", "2", "2", "RK3399", None),
        ("OrangePi4 LTS", "2", "2", "RK3399", None),
        ("Raspberry Pi 4", "4", "0", "BCM2711", None),
    ),
    "A76": (
        ("Rockchip RK3588 (Cortex-A76", "4", "2", "RK3588, a", None),
        ("OrangePi5, ", "4", "2", "RK3588, b", None),
        ("OrangePi5 Plus", "4", "2", "RK3588, c", None),
        ("Rockchip RK3588 (Quad", "4", "2", "RK3588, d", None),
    ),
}  # fmt: skip
DRAWS, SEED = 20, 700
RUNS = (1, 2, 3, 5)
#: Targets: runs -> largest median error in per cent.
LARGEST = {1: 15.0, 2: 15.0, 3: 12.0, 5: 10.0}


@dataclass(frozen=True)
class Board:
    """A board's networks: kernels and latencies; its own fit."""

    core: str
    chip: str
    clock_ghz: float | None
    load: Workload
    latency_ms: Floats
    fitted: Coefficients


def read_boards() -> list[Board]:
    """All boards; the Pi 3B with ncnn of 2019."""
    rows = [
        r for r in read_csv("ncnn_benchmark/latency.csv.gz")
        if r["backend"] == "cpu" and r["is_int8"] != "True"
    ]  # fmt: skip
    found = []
    for core, boards in BOARDS.items():
        for start, threads, cluster, chip, clock in boards:
            own = {}
            for r in rows:
                name = {"mobilenet": "mobilenet_v1"}.get(r["model"], r["model"])
                setting = r["num_threads"], r["powersave"]
                same = r["device"].startswith(start) and setting == (threads, cluster)
                if same and name in NCNN_MODELS:
                    own[NCNN_NAMES.get(name, name)] = float(r["avg_ms"])
            found.append(_board(core, chip, clock, own))
    pi3 = read_pi3()["ncnn"]
    own = dict(zip(pi3.models, pi3.latency_ms, strict=True))
    return [*found, _board("A53", "BCM2837", None, own)]


def _board(core: str, chip: str, clock: float | None, own: dict[str, float]) -> Board:
    load = workload([reference_network(name) for name in own], "used")
    latency_ms = np.array(list(own.values()))
    fitted, _ = fit_one(load, latency_ms, data_sheet_prior(20.0, 3.0, speed=2.0))
    return Board(core, chip, clock, load, latency_ms, fitted)


def pairs(boards: Sequence[Board]) -> Iterator[tuple[Board, Board]]:
    """A board and a known one, with other chips and the same core."""
    for board in boards:
        others = [b for b in boards if b.core == board.core and b.chip != board.chip]
        for known in others[:2]:
            yield board, known


def runs(boards: Sequence[Board]) -> None:
    """1, 3 and 5 runs on the board itself."""
    for count in RUNS:
        ours, factor, logs, mapes, ranks = [], [], [], [], []
        for board, known in pairs(boards):
            prior, ms = sister_prior(known.fitted), board.latency_ms
            other = board.load.latency_ms(known.fitted)
            for seed in range(SEED, SEED + DRAWS):
                order = np.random.default_rng(seed).permutation(len(ms))
                a, b = order[:count], order[count:]
                fitted, _ = fit_one(board.load.subset(a), ms[a], prior)
                ratio = ms[b] / board.load.subset(b).latency_ms(fitted)
                ours.append(np.median(np.abs(1 / ratio - 1)))
                logs.append(np.abs(np.log(ratio)))
                figures = quality(ms[b], ms[b] / ratio)
                mapes.append(figures["mape_percent"])
                ranks.append(figures["spearman"])
                scaled = other[b] * np.exp(np.mean(np.log(ms[a] / other[a])))
                factor.append(np.median(np.abs(scaled / ms[b] - 1)))
        a, b, covered = (
            100 * np.array(ours),
            100 * np.array(factor),
            float(np.mean([np.mean(r <= half_width(count)) for r in logs])),
        )
        within = np.exp(np.quantile(np.concatenate(logs), 0.9))
        print(
            f"{count} runs: median error, median over boards and draws {np.median(a):.1f} %, mean "
            f"{a.mean():.1f}; one factor {np.median(b):.1f}, {b.mean():.1f}; interval x"
            f"{np.exp(half_width(count)):.2f} covers {covered:.0%} (90 %: x{within:.2f}); MAPE "
            f"{np.mean(mapes):.1f}, Spearman {np.mean(ranks):.3f}   "
            f"<= {LARGEST[count]:g} %: {verdict(bool(np.median(a) <= LARGEST[count]))}; "
            "covers 85 %: "
            f"{verdict(covered >= 0.85)}; no worse than one factor: "
            f"{verdict(a.mean() <= b.mean() + 0.1)}"
        )


def contradictions(boards: Sequence[Board]) -> None:
    """How often runs contradict a known board, and how much the interval then covers."""
    strangers = [(a, b) for a in boards for b in boards if {a.core, b.core} == {"A53", "A76"}]
    for title, chosen in (("same core", list(pairs(boards))), ("A53 and A76", strangers)):
        for count in (3, 5):
            told, covered = [], []
            for board, known in chosen:
                for seed in range(SEED, SEED + DRAWS // 4):
                    order = np.random.default_rng(seed).permutation(len(board.latency_ms))
                    a, b = order[:count], order[count:]
                    own, ms = board.load.subset(a), board.latency_ms
                    half, outside, _ = contradiction(own, ms[a], known.fitted)
                    fitted, _ = fit_one(own, ms[a], sister_prior(known.fitted))
                    ratio = ms[b] / board.load.subset(b).latency_ms(fitted)
                    told.append(outside > 0)
                    covered.append(np.mean(np.abs(np.log(ratio)) <= half))
            own_cover = np.array(covered)[np.array(told)]
            then = f", then it covers {own_cover.mean():.0%}" if len(own_cover) else ""
            print(
                f"{title}, {count} runs: the prior is contradicted in {np.mean(told):.0%} of draws"
                f"{then}; all intervals cover {np.mean(covered):.0%}"
            )


def by_the_clock(boards: Sequence[Board]) -> Iterator[tuple[Board, Floats]]:
    """A53 boards, and measured over predicted by another one's profile at their clock."""
    for board in boards:
        for known in boards:
            if board.clock_ghz and known.clock_ghz and board.chip != known.chip:
                derived = at_clock(known.fitted, board.clock_ghz / known.clock_ghz)
                yield board, board.latency_ms / board.load.latency_ms(derived)


def clocks(boards: Sequence[Board]) -> None:
    """No run: another A53's profile at this board's clock."""
    errors, logs, mapes, ranks = [], [], [], []
    for board, ratio in by_the_clock(boards):
        errors.append(100 * np.median(np.abs(1 / ratio - 1)))
        logs.append(np.abs(np.log(ratio)))
        figures = quality(board.latency_ms, board.latency_ms / ratio)
        mapes.append(figures["mape_percent"])
        ranks.append(figures["spearman"])
    everything = np.concatenate(logs)
    print(
        f"no run, by the clock, A53: median error {np.median(errors):.0f} %; interval x"
        f"{np.exp(half_width(0)):.2f} covers "
        f"{np.mean(everything <= half_width(0)):.0%} (90 %: "
        f"x{np.exp(np.quantile(everything, 0.9)):.2f}); MAPE {np.mean(mapes):.1f}, Spearman "
        f"{np.mean(ranks):.3f}"
    )


def verdict(good: bool) -> str:
    """What a target's line ends in."""
    return "ok" if good else "MISSED"


def main(arguments: Sequence[str]) -> int:
    """Print all figures; returns the exit code."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    if not (SHARED / "data").is_dir():
        print(f"no {SHARED / 'data'}: the measurements are needed", file=sys.stderr)
        return 4
    boards = read_boards()
    runs(boards)
    contradictions(boards)
    clocks(boards)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
