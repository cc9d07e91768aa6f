"""Throughput of proxy scoring: networks a second in one process and in several.

    python scripts/bench/proxy_scoring.py [--proxy naswot] [--networks 64]
                                           [--workers 2] [--rounds 3]

Scores the same seeded random NAS-Bench-201 cells, nothing kept, in this process and in worker
processes by turns, one thread each; the workers' start (each imports PyTorch) counts. Prints
each round and the ratio of the shortest times. Only the ratio is comparable between machines,
and only where nothing else runs.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from flash.proxies.job import Setting
from flash.proxies.many import score_networks
from flash.proxies.registry import AGGREGATES, PROXIES
from flash.spaces.space import load_space


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--proxy", default="naswot", choices=(*PROXIES, *AGGREGATES))
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, help="images a batch (each proxy's own)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    space = load_space("nasbench201")
    designs = space.sample(options.networks, np.random.default_rng(0))
    networks = [space.network(design) for design in designs]
    setting = Setting(batch=options.batch)
    score_networks(networks[:1], [options.proxy], setting)  # the first convolution is slow
    shortest: dict[int, float] = {}
    for _ in range(options.rounds):
        for workers in (1, options.workers):
            began = time.perf_counter()
            found = score_networks(networks, [options.proxy], setting, workers=workers)
            seconds = time.perf_counter() - began
            rate = found.computed / seconds
            print(
                f"{options.proxy}, {workers} process{'es' * (workers > 1)}: {found.computed} "
                f"networks in {seconds:.1f} s, {rate:.2f} /s",
                flush=True,
            )
            shortest[workers] = min(seconds, shortest.get(workers, seconds))
    ratio = shortest[1] / shortest[options.workers]
    print(f"ratio of the shortest, {options.workers} to 1: {ratio:.2f}")


if __name__ == "__main__":
    main()
