"""How fast the page of a front answers a brush: ``python scripts/bench/explorer.py [DESIGNS]``.

Makes the page of 5,000 designs (random ones of cifar10-concat on rpi3b: none is left out, as none
need be a front to be drawn), opens it in Chromium and times 20 cuts from the new limit to the frame
that shows it: by the clock, and in processor time of the page's thread, which other programs of the
machine add little to. Needs playwright and a Chromium of the system.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flash.evaluation import evaluate
from flash.explorer import Source, explorer_html
from flash.report import DesignReport, Interval, SearchReport
from flash.search import search
from flash.spaces.space import load_space
from flash.targets import load_target

__all__ = ["FLAGS", "main", "many_designs"]

#: Of a browser that talks to nobody.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

#: A cut as a reader makes it, and the time to the frame after it, in ms.
_CUT = """(bound) => new Promise((done) => {
  const field = document.getElementById("limit-latency_ms");
  const began = performance.now();
  field.value = bound;
  field.dispatchEvent(new Event("input"));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""


def many_designs(count: int, seed: int = 0) -> SearchReport:
    """A report of this many random designs, with intervals on everything that has one."""
    space, target = load_space("cifar10-concat"), load_target("rpi3b")
    rng = np.random.default_rng(seed)
    indices = np.unique(space.sample(2 * count, rng), axis=0)[:count]
    found = evaluate(space, target, indices)
    report = search("rpi3b", max_latency_ms=3.0, optimizer="exact")
    model = report.front[0]
    designs: list[DesignReport] = []
    for k, row in enumerate(indices):
        low, high = (float(found.latency_ms[end][k]) for end in (1, 2))
        energy = [float(found.energy_mj[end][k]) for end in (0, 1, 2)]
        accuracy = 50.0 + 20.0 * float(rng.random())
        designs.append(
            replace(
                model,
                id=space.identify(row),
                design=space.named(row),
                description=space.describe(row),
                accuracy=Interval(accuracy, accuracy - 5, accuracy + 5, "drawn"),
                latency_ms=Interval(float(found.latency_ms[0][k]), low, high, "as rpi3b"),
                energy_mj=Interval(energy[0], energy[1], energy[2], "as rpi3b"),
                memory_kb=float(found.weight_kb[k] + found.activation_kb[k]),
                params=int(found.params[k]),
                macs=int(found.macs[k]),
            )
        )
    picks = type(report.picks)(designs[0].id, designs[1].id, designs[2].id)
    return replace(report, front=designs, picks=picks, limits={})


def _processor_ms(session: Any) -> float:
    """Processor time of the page's thread so far, by Chrome's DevTools protocol."""
    found = session.send("Performance.getMetrics")["metrics"]
    return 1e3 * float(next(one["value"] for one in found if one["name"] == "TaskDuration"))


def main() -> int:
    """Print the size of the page, and the median and longest response."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("designs", nargs="?", type=int, default=5000, help="how many (5000)")
    count = parser.parse_args().designs
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (not among what flash needs)

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium on this machine")
        return 1
    page = explorer_html(many_designs(count), Source("cifar10-concat", "rpi3b"))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "front.html"
        file.write_text(page, encoding="utf-8")
        with playwright.chromium.launch(executable_path=browser, args=list(FLAGS)) as chromium:
            tab = chromium.new_page()
            tab.goto(file.as_uri())
            bounds = np.geomspace(5, 400, 20)
            session = tab.context.new_cdp_session(tab)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            worked = [_processor_ms(session)]
            times = []
            for bound in bounds:
                times.append(tab.evaluate(_CUT, f"{bound:.4g}"))
                worked.append(_processor_ms(session))
    print(f"{count:,} designs: {len(page.encode()) / 1e3:.0f} kB")
    print(f"cut to frame: median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms")
    spent = np.diff(worked)
    print(f"processor time: median {np.median(spent):.0f} ms, longest {spent.max():.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
