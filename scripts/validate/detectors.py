"""Detectors against what others published, trained and measured.

    python scripts/validate/detectors.py [SECTION ...] [--draws N]

Sections: counts, expressed, accuracy, left-out, scores, latency, sister, front, noise, picks; all
without a name, in 10 minutes of one core. Draws are seeds 0, 1 ... N - 1 (20 unless said) of
``numpy.random.default_rng``, stated before anything was looked at. Reads
``shared/data/yolobench`` (572 detectors; 968 with latencies); ``picks`` measures this machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detector_data import Detectors, Floats, read_detectors, there  # noqa: E402
from fit_detectors import PI4, fitted_runtime  # noqa: E402

from flash.accuracy.calibration import AccuracyModel, fit_space  # noqa: E402
from flash.accuracy.features import design_features  # noqa: E402
from flash.fitting.learning import Learned, learn  # noqa: E402
from flash.fitting.prior import data_sheet_prior, unknown_prior  # noqa: E402
from flash.fitting.sisters import learn_sister  # noqa: E402
from flash.metrics import network_scores  # noqa: E402
from flash.optimize.pareto import hypervolume, non_dominated  # noqa: E402
from flash.spaces.families.detector import DetectorFamily  # noqa: E402
from flash.spaces.family import InputShape  # noqa: E402
from flash.spaces.network import Network  # noqa: E402
from flash.spaces.reference.detectors import CLASSES, detector_network  # noqa: E402
from flash.spaces.space import SearchSpace  # noqa: E402

Ints = NDArray[np.int64]

ROWS = 25
MAPS = {"voc": "voc_map50_95", "coco": "coco_map50_95"}
ABOUT: dict[str, Any] = {
    "data": "YOLOBench",
    "recipe": "YOLOBench",
    "epochs": 0,
    "seeds": (),
    "hardware": "not stated",
    "date": "2026-11-29",
}
#: Parameters and GFLOPs (two a multiply-accumulate, 640 pixels, 80 classes), with YOLOv8's head: as
#: the tables and model summaries of ultralytics have them; YOLOv6's as its package 8.4.190 builds
#: them (counted, not copied). The 16 numbers of a last fixed convolution are no parameters of ours.
PUBLISHED = {
    "yolo5n": (2_654_816, 7.7),
    "yolo5s": (9_153_152, 24.0),
    "yolo5m": (25_111_456, 64.2),
    "yolo6un": (4_500_080, 12.93),
    "yolo6us": (16_452_192, 44.38),
    "yolo8n": (3_157_200, 8.7),
    "yolo8s": (11_166_560, 28.6),
    "yolo8m": (25_902_640, 78.9),
}


def verdict(good: bool) -> str:
    """What a target's line ends in."""
    return "ok" if good else "MISSED"


def rank(a: Floats, b: Floats) -> float:
    """Spearman's correlation."""
    return float(spearmanr(a, b)[0])


def counts(draws: int) -> None:
    """Parameters and operations of published networks."""
    worst = 0.0
    for name, (params, gflops) in PUBLISHED.items():
        network = detector_network(name)
        off = network.params / params - 1, 2e-9 * network.macs / gflops - 1
        worst = max(worst, *map(abs, off))
        print(
            f"counts     {name:8} {network.params:>11,} parameters ({off[0]:+.4%}), "
            f"{2e-9 * network.macs:6.2f} GFLOPs ({off[1]:+.2%})"
        )
    print(f"counts     largest difference {worst:.2%}   within 1 %: {verdict(worst <= 0.01)}")


def expressed(draws: int) -> None:
    """Which of the table's detectors the family has, and whether boards agree with their structure.

    The table has no parameters and operations to compare with. So one model of the Pi 4 is fitted
    to all, and each of the 52 networks should be off by no more than that model's errors.
    """
    table = read_detectors()
    y = table["pi4_ort_ms"]
    found = learn(
        table.networks, table.kinds.tolist(), y, None, data_sheet_prior(28.8, 4.31), baselines=False
    )
    off = np.log(found.latency_ms(table.networks) / y)
    kinds = sorted(set(table.kinds))
    median = {kind: float(np.median(off[table.kinds == kind])) for kind in kinds}
    agree = [kind for kind in kinds if abs(median[kind]) <= 0.05]
    share = int(np.isin(table.kinds, agree).sum())
    print(
        f"expressed  {len(table.networks)} of {len(table.rows)} by published structure; of the "
        f"{len(kinds)} networks {len(agree)} ({share} detectors) have latencies within 5 % of one "
        f"model of the board   400 of 572: {verdict(share >= 400)}"
    )
    others = ", ".join(f"{k} {median[k]:+.0%}" for k in kinds if k not in agree)
    print(f"expressed  the others: {others or 'none'}")


# ------------------------------------------------------------------------------------ accuracy
def space_of(table: Detectors) -> tuple[SearchSpace, Ints]:
    """A space with every design of the table, and their indices."""
    family = DetectorFamily(InputShape(3, 640, 640), CLASSES["voc"], {})
    values = np.array([[d[name] for name in family.variables] for d in table.designs])
    grids = tuple(np.unique(values[:, k]) for k in range(values.shape[1]))
    space = SearchSpace("table", "", family, grids)
    return space, space.encode(values)


def fitted(space: SearchSpace, designs: Ints, y: Floats, rows: Ints) -> AccuracyModel:
    """What ``flash.calibrate`` makes of some rows."""
    return fit_space(space, designs[rows], y[rows], **ABOUT)


def forest(x: Floats, y: Floats) -> Callable[[Floats], Floats] | None:
    """The baseline of the table's users; None without scikit-learn."""
    try:
        from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415 (not always there)
    except ImportError:
        return None
    trees = RandomForestRegressor(300, random_state=0).fit(x, y)
    return lambda z: np.asarray(trees.predict(z))


def baselines_of(table: Detectors) -> dict[str, Floats]:
    """What else ranks detectors, without any training."""
    return {
        "latency": table["pi4_ort_ms"],
        "MACs": np.array([n.macs for n in table.networks], dtype=float),
        "params": np.array([n.params for n in table.networks], dtype=float),
        "side": table.sides.astype(float),
    }


def told(table: Detectors) -> Floats:
    """Latency, side and family as numbers, for the forest."""
    families = np.stack([table.families == f for f in sorted(set(table.families))], axis=1)
    return np.column_stack([np.log(table["pi4_ort_ms"]), np.log(table.sides), families])


def accuracy(draws: int) -> None:
    """mAP of all others from 25 rows, beside what else ranks them."""
    table = read_detectors()
    space, designs = space_of(table)
    x, simple = told(table), baselines_of(table)
    for data, column in MAPS.items():
        y = table[column]
        ours, trees, covered, errors = [], [], [], []
        plain: dict[str, list[float]] = {name: [] for name in simple}
        for seed in range(draws):
            order = np.random.default_rng(seed).permutation(len(y))
            some, rest = order[:ROWS], order[ROWS:]
            found = fitted(space, designs, y, some).predict(space, designs[rest])
            ours.append(rank(found.value, y[rest]))
            errors.append(float(np.sqrt(np.mean((found.value - y[rest]) ** 2))))
            covered.append(float(np.mean((found.low <= y[rest]) & (y[rest] <= found.high))))
            if model := forest(x[some], y[some]):
                trees.append(rank(model(x[rest]), y[rest]))
            for name, values in simple.items():
                plain[name].append(rank(values[rest], y[rest]))
        others = {name: float(np.mean(v)) for name, v in plain.items()}
        others |= {"forest": float(np.mean(trees))} if trees else {}
        mean = float(np.mean(ours))
        print(
            f"accuracy   {data}, {ROWS} rows, {draws} draws: Spearman {mean:.4f} (least "
            f"{min(ours):.3f}), RMSE {np.mean(errors):.2f} points, 90 % intervals cover "
            f"{np.mean(covered):.3f} (least {min(covered):.2f}); "
            + ", ".join(f"{name} {value:.3f}" for name, value in others.items())
            + f"   >= .97 and above all: {verdict(mean >= 0.97 and mean > max(others.values()))}"
        )


def left_out(draws: int) -> None:
    """mAP of a family, a side, a size from all others."""
    table = read_detectors()
    space, designs = space_of(table)
    latency = table["pi4_ort_ms"]
    widths = np.array([d["w3"] for d in table.designs])
    for data, column in MAPS.items():
        y = table[column]
        for what, groups in (("family", table.families), ("side", table.sides), ("width", widths)):
            lines, inside, better = [], [], []
            for group in sorted(set(groups.tolist())):
                out = np.flatnonzero(groups == group)
                found = fitted(space, designs, y, np.flatnonzero(groups != group))
                p = found.predict(space, designs[out])
                hit = (p.low <= y[out]) & (y[out] <= p.high)
                ours, by_latency = rank(p.value, y[out]), rank(latency[out], y[out])
                inside += hit.tolist()
                better.append(ours >= by_latency)
                error = float(np.sqrt(np.mean((p.value - y[out]) ** 2)))
                lines.append(f"{group} {ours:.3f}/{by_latency:.3f} {error:.1f} {hit.mean():.2f}")
            cover = float(np.mean(inside))
            good = (
                f"   as good as latency on each: {verdict(all(better))}, coverage >= .85: "
                f"{verdict(cover >= 0.85)}"
                if what == "family"
                else ""
            )
            print(
                f"left-out   {data}, one {what} from the others (Spearman ours/latency, RMSE, "
                f"coverage): {'; '.join(lines)}; together {cover:.3f}{good}"
            )


def scores(draws: int) -> None:
    """Data-free scores of 60 of the networks, whatever they are."""
    table = read_detectors()
    some = np.random.default_rng(0).permutation(len(table.rows))[:60]
    y = table[MAPS["voc"]][some]
    found = [network_scores(table.networks[k], ("nn_degree", "sed", "rank_score")) for k in some]
    for name in found[0]:
        values = np.array([float(row[name]) for row in found])
        print(f"scores     voc, 60 networks: Spearman of {name} {rank(values, y):+.3f}")


# ------------------------------------------------------------------------------------- latency
#: Column -> file, bytes an element, most median error in per cent, least Spearman.
COLUMNS = {
    "pi4_ort_ms": ("detectors", 4, 6.0, 0.99),
    "pi5_ort_ms": ("detectors", 4, 8.0, 0.0),
    "pi4_tflite_int8_ms": ("voc_scratch_100epochs", 1, 8.0, 0.0),
    "jetson_nano_gpu_ms": ("detectors", 4, 12.0, 0.0),
    "a40_tensorrt_ms": ("detectors", 4, 12.0, 0.0),
    "pi4_tflite_ms": ("detectors", 4, 100.0, 0.0),
    "openvino_x86_ms": ("detectors", 4, 100.0, 0.0),
}


def learned(table: Detectors, rows: Ints, y: Floats, bytes_: int = 4) -> Learned:
    """What ``flash.fit`` makes of some rows of a device it knows nothing of."""
    networks = [table.networks[k] for k in rows]
    return learn(
        networks,
        table.families[rows].tolist(),
        y[rows],
        None,
        unknown_prior(),
        element_bytes=bytes_,
        baselines=False,
    )


def latency(draws: int) -> None:
    """Latency of all others from 25 rows."""
    for column, (file, bytes_, most, least) in COLUMNS.items():
        table = read_detectors(file)
        y = table[column]
        known = np.flatnonzero(~np.isnan(y))
        errors, ranks, covered, macs = [], [], [], []
        for seed in range(draws):
            order = np.random.default_rng(seed).permutation(known)
            some, rest = order[:ROWS], order[ROWS:]
            found = learned(table, some, y, bytes_)
            p = found.latency_ms([table.networks[k] for k in rest], bytes_)
            errors.append(100 * float(np.median(np.abs(p / y[rest] - 1))))
            ranks.append(rank(p, y[rest]))
            ratio = y[rest] / p
            covered.append(
                float(np.mean((found.interval.low <= ratio) & (ratio <= found.interval.high)))
            )
            sizes = np.array([float(table.networks[k].macs) for k in rest])
            macs.append(rank(sizes, y[rest]))
        mean, order_mean = float(np.mean(errors)), float(np.mean(ranks))
        good = mean <= most and order_mean >= least
        asked = f"median <= {most:g} %" + (f", Spearman >= {least:g}" if least else "")
        print(
            f"latency    {column}, {ROWS} of {len(known)}, {draws} draws: median {mean:.1f} % "
            f"(most {max(errors):.1f}), Spearman {order_mean:.4f} (least {min(ranks):.3f}; MACs "
            f"{np.mean(macs):.3f}), 90 % intervals cover {np.mean(covered):.3f}"
            + (f"   {asked}: {verdict(good)}" if most < 100 else "")
        )


def sister(draws: int) -> None:
    """The Pi 5 from a few runs and the Pi 4's fit."""
    table, known = read_detectors(), fitted_runtime("ort", PI4["ort"], data_sheet_prior(28.8, 4.31))
    y = table["pi5_ort_ms"]
    there_ = np.flatnonzero(~np.isnan(y))
    for runs in (1, 3, 5):
        errors, ranks = [], []
        for seed in range(draws):
            order = np.random.default_rng(seed).permutation(there_)
            some, rest = order[:runs], order[runs:]
            found = learn_sister([table.networks[k] for k in some], y[some], known)
            p = found.latency_ms([table.networks[k] for k in rest])
            errors.append(100 * float(np.median(np.abs(p / y[rest] - 1))))
            ranks.append(rank(p, y[rest]))
        mean = float(np.mean(errors))
        good = f"   <= 10 %: {verdict(mean <= 10)}" if runs == 3 else ""
        print(
            f"sister     Pi 4 to Pi 5, {runs} runs, {draws} draws: median {mean:.1f} % (most "
            f"{max(errors):.1f}), Spearman {np.mean(ranks):.4f}{good}"
        )


# --------------------------------------------------------------------------------------- front
def front(draws: int) -> None:
    """The front of the 572 by predictions from 25 rows: VOC's mAP against the Pi 4 with ORT.

    Picks are taken front by front (what is left without the fronts before) until there are 100; of
    the last one those that lie alone in predicted latency. Hypervolumes are of mAP over the
    logarithm of latency, above the least mAP and below the most latency of the table.
    """
    table = read_detectors()
    space, designs = space_of(table)
    y, ms = table[MAPS["voc"]], table["pi4_ort_ms"]
    true = np.column_stack([-y, np.log(ms)])
    members = np.flatnonzero(non_dominated(true))
    reference = true.max(axis=0)
    whole = hypervolume(true[members], (1, 1), reference)
    recalls, shares = [], []
    for seed in range(draws):
        some = np.random.default_rng(seed).permutation(len(y))[:ROWS]
        predicted = np.column_stack(
            [
                -fitted(space, designs, y, some).predict(space, designs).value,
                np.log(learned(table, some, ms).latency_ms(table.networks)),
            ]
        )
        picks = picked(predicted, 100)
        recalls.append(len(set(picks.tolist()) & set(members.tolist())) / len(members))
        best = true[picks][non_dominated(true[picks])]
        shares.append(hypervolume(best, (1, 1), reference) / whole)
    recall, share = float(np.mean(recalls)), float(np.mean(shares))
    print(
        f"front      voc on the Pi 4 (ORT), {ROWS} rows, {draws} draws: of {len(members)} members "
        f"{recall:.3f} are among 100 picks (least {min(recalls):.2f}), whose hypervolume is "
        f"{share:.4f} of the true one (least {min(shares):.3f})   recall >= .8: "
        f"{verdict(recall >= 0.8)}, hypervolume >= .98: {verdict(share >= 0.98)}"
    )


def noise(draws: int) -> None:
    """What the front's recall could be at most: measured latencies, mAP off by chance alone.

    Beside it a Gaussian process on all but a twentieth of the 572 in turn, with measured latencies.
    """
    table = read_detectors()
    space, designs = space_of(table)
    y, log_ms = table[MAPS["voc"]], np.log(table["pi4_ort_ms"])
    members = set(np.flatnonzero(non_dominated(np.column_stack([-y, log_ms]))).tolist())

    def recall(found: Floats) -> float:
        picks = picked(np.column_stack([-found, log_ms]), 100)
        return len(set(picks.tolist()) & members) / len(members)

    for points in (0.1, 0.2, 0.3, 0.5, 0.8):
        rng = np.random.default_rng(0)
        some = [recall(y + points * rng.normal(size=len(y))) for _ in range(draws)]
        print(
            f"noise      measured latencies, mAP off by {points:g} points: recall "
            f"{np.mean(some):.3f} (least {min(some):.2f})"
        )
    found = _parts_left_out(_described(space, designs, log_ms), y)
    error = float(np.sqrt(np.mean((found - y) ** 2)))
    print(
        f"noise      measured latencies, mAP by a Gaussian process on 19 of 20 parts of the table: "
        f"{error:.2f} points off, recall {recall(found):.3f}"
    )


def _described(space: SearchSpace, designs: Ints, log_ms: Floats) -> Floats:
    """All that is known of the designs, their styles one by one, scaled: (designs, features)."""
    values = space.decode(designs).astype(np.float64)
    styles = values[:, space.variables.index("style")]
    known = design_features(space, designs, _DESCRIBED)
    own = (styles[:, None] == np.unique(styles)).astype(np.float64)
    x = np.column_stack([known, values, own, log_ms])
    scaled: Floats = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    return scaled


#: Features that describe a detector, beside the values of its variables.
_DESCRIBED = (
    "log_params", "log_macs", "log_depth", "log_width", "log_nn_degree", "log_activations",
    "mean_width", "mean_side", "spread_width", "spread_side",
)  # fmt: skip


def _parts_left_out(x: Floats, y: Floats, parts: int = 20, reach: float = 5.0) -> Floats:
    """Prediction of each row by a Gaussian process of the other parts' rows, shape (rows,).

    reach: of its kernel; its noise 3 in ten thousand of the variance (both chosen in view of the
    errors, which makes the process look better).
    """
    part = np.random.default_rng(0).permutation(len(y)) % parts
    distance = ((x[:, None] - x) ** 2).sum(axis=2)
    kernel = np.exp(-0.5 * distance / reach**2)
    found = np.empty(len(y))
    for k in range(parts):
        own, rest = part == k, part != k
        middle = y[rest].mean()
        gram = kernel[np.ix_(rest, rest)] + 3e-4 * np.eye(int(rest.sum()))
        found[own] = middle + kernel[np.ix_(own, rest)] @ np.linalg.solve(gram, y[rest] - middle)
    return found


def picked(points: Floats, most: int) -> Ints:
    """Rows of the first fronts, ``most`` of them."""
    left = np.arange(len(points))
    chosen: list[int] = []
    while len(chosen) < most:
        own = left[non_dominated(points[left])]
        room = most - len(chosen)
        if len(own) > room:
            own = own[np.argsort(points[own, 1])]
            own = own[np.unique(np.linspace(0, len(own) - 1, room).astype(int))]
            chosen += own.tolist()
            break
        chosen += own.tolist()
        left = np.setdiff1d(left, own)
    return np.array(chosen)


# --------------------------------------------------------------------------------------- picks
#: Limits of the searches whose picks are run here, and networks this machine is learnt from.
LIMITS_MS = (20.0, 40.0, 80.0)
LEARNT = ("yolo5n_160", "yolo8n_224", "yolo6s-d33w25_192", "yolo7n_160", "yolo8s_160")


def picks(draws: int) -> None:
    """A search's own picks, built and run on this machine by onnxruntime, one thread.

    The shipped x86 profile is of another machine, so a sister of it is learnt from five published
    networks first. Time is the thread's own: other processes do not count.
    """
    import tempfile  # noqa: PLC0415

    from flash.search import search  # noqa: PLC0415
    from flash.spaces.space import load_space  # noqa: PLC0415
    from flash.targets.processor.profile import load_profile  # noqa: PLC0415
    from flash.targets.processor.profile_file import write_profile  # noqa: PLC0415

    profile = load_profile("x86-avx512")
    networks = [detector_network(name, CLASSES["voc"]) for name in LEARNT]
    measured = np.array([own_ms(network) for network in networks])
    found = learn_sister(networks, measured, profile.runtime)
    main = found.variants[0]
    runtime = dataclasses.replace(
        profile.runtime, coefficients=main.coefficients, interval=found.interval, alternatives=()
    )
    space, inside, total = load_space("detector-voc"), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        here = dataclasses.replace(
            profile, name="here", runtimes={runtime.name: runtime}, default_runtime=runtime.name
        )
        write_profile(here, Path(folder) / "here.toml")
        for limit in LIMITS_MS:
            report = search(str(Path(folder) / "here.toml"), "detector-voc", max_latency_ms=limit)
            for label, design in report.picked:
                ms = own_ms(space.network(space.design(design.design)))
                low, high = design.latency_ms.low, design.latency_ms.high
                good = low <= ms <= high
                inside, total = inside + good, total + 1
                print(
                    f"picks      {limit:g} ms, {label}: {design.short}, predicted "
                    f"{design.latency_ms.value:.1f} ({low:.1f} to {high:.1f}), took {ms:.1f} ms"
                )
    print(f"picks      {inside} of {total} inside their interval   all: {verdict(inside == total)}")


def own_ms(network: Network, seconds: float = 3.0) -> float:
    """Milliseconds of processor time of one run, the least of several; one thread."""
    import onnxruntime  # noqa: PLC0415 (an extra)

    from flash.backends import network_model, random_weights  # noqa: PLC0415 (an extra)

    model = network_model(network, random_weights(network))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    image = {"input": np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}
    times: list[float] = []
    while len(times) < 4 or sum(times) < 1e3 * seconds:
        began = time.thread_time()
        session.run(None, image)
        times.append(1e3 * (time.thread_time() - began))
    return min(times[1:])


SECTIONS = {
    "counts": counts,
    "expressed": expressed,
    "accuracy": accuracy,
    "left-out": left_out,
    "scores": scores,
    "latency": latency,
    "sister": sister,
    "front": front,
    "noise": noise,
    "picks": picks,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="draws (20)")
    given = parser.parse_args(argv)
    unknown = [name for name in given.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"unknown section {unknown[0]}: one of {', '.join(SECTIONS)}")
    if not there():
        print("no shared/data/yolobench: the tables are needed", file=sys.stderr)
        return 4
    for name in given.sections or SECTIONS:
        SECTIONS[name](given.draws)
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
