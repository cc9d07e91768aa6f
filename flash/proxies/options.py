"""How a metric that runs the network is computed: what users say, on the command line or not.

Nothing heavy is imported here: ``flash.proxies.metric`` does the work.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flash.command import CommandParser
from flash.errors import UsageError
from flash.proxies.registry import AGGREGATES, PROXIES, SCORES
from flash.quantities import parse_whole

__all__ = [
    "ProxyOptions",
    "add_options",
    "is_proxy",
    "options_from",
    "own_proxy_names",
    "proxy_names",
    "refuse_unused",
]

#: Field of ``ProxyOptions`` -> the option that sets it.
_OPTIONS: Final = {
    "batch": "--proxy-batch",
    "device": "--device",
    "data": "--data",
    "cache": "--proxy-cache",
    "workers": "--workers",
    "ray": "--ray",
}


@dataclass(frozen=True)
class ProxyOptions:
    """How proxies score networks.

    batch:  images a batch; each proxy's own number if not given.
    device: "cpu" or "cuda".
    data:   a file of real images and labels (NPZ); random images if not given.
    cache:  the file of scores known already; the user's own one if not given.
    workers, ray: processes here, or the address of a Ray cluster (``flash.proxies.many``).
    quiet:  no progress on standard error.
    """

    batch: int | None = None
    device: str = "cpu"
    data: str | None = None
    cache: str | None = None
    workers: int = 1
    ray: str | None = None
    quiet: bool = False


def is_proxy(metric: str | None) -> bool:
    """Whether the metric runs the network: a proxy, or an aggregate of several."""
    return metric is not None and metric in SCORES


def proxy_names() -> tuple[str, ...]:
    """Every metric that runs the network, in the order shown."""
    return tuple(SCORES)


def own_proxy_names() -> tuple[str, ...]:
    """Those that come with flash; other packages are not looked for, which takes 10 ms."""
    return (*PROXIES.builtin, *AGGREGATES)


def add_options(parser: CommandParser) -> Callable[..., Any]:
    """Add the options that ``options_from`` reads; returns what adds more to their group."""
    add = parser.add_argument_group("a metric that runs the network").add_argument
    add("--workers", default="1", metavar="N", help="processes that score (%(default)s)")
    add("--ray", metavar="ADDRESS", help="score on a Ray cluster; 'local' starts one here")
    add("--device", default="cpu", metavar="D", help="cpu or cuda (%(default)s)")
    add("--proxy-batch", metavar="N", help="images a batch (each proxy's own number)")
    add("--data", metavar="DIR", help="labelled images, as flash.calibrate takes (random ones)")
    add("--proxy-cache", metavar="FILE", help="where scores are kept (the user's cache folder)")
    return add


def refuse_unused(scoring: ProxyOptions, metric: str | None) -> None:
    """Raise ``UsageError`` for what is given though no metric runs the network."""
    default = ProxyOptions()
    for name, option in _OPTIONS.items():
        if getattr(scoring, name) != getattr(default, name):
            what = f"{metric} does not" if metric else "none was asked for"
            raise UsageError(f"{option} is for a --metric that runs the network: {what}")


def options_from(options: argparse.Namespace) -> ProxyOptions:
    """What the options of ``add_options`` say; raises ``UsageError`` for what is no number."""
    batch = options.proxy_batch
    return ProxyOptions(
        batch=None if batch is None else parse_whole(batch, "--proxy-batch", 1),
        device=options.device,
        data=options.data,
        cache=options.proxy_cache,
        workers=parse_whole(options.workers, "--workers", 1),
        ray=options.ray,
        quiet=getattr(options, "quiet", False),
    )
