"""The process that trains: takes jobs, one JSON line each, and tells of them the same way.

Started by ``flash.training.workers`` with the folder that holds ``images.npz`` and the
checkpoints as its only argument. One design a job; it ends when its input does, or when nobody
reads what it tells.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from flash.backends.torch.memory import keep_freed_memory
from flash.errors import FlashError
from flash.spaces.network import Network
from flash.spaces.space import load_space
from flash.training.images import ImageSet
from flash.training.recipe import Recipe

__all__ = ["Message", "main", "perform"]

#: What goes through the pipes, as JSON.
Message = dict[str, Any]


def perform(
    network: Network,
    images: ImageSet,
    recipe: Recipe,
    seed: int,
    checkpoint: Path | None = None,
    tell: Callable[[Message], None] = lambda message: None,
) -> Message:
    """Train a network: ``{"done": ...}``, or ``{"failed": why}``.

    checkpoint: used if its folder is there (on another machine it may not be).
    tell:       called with ``{"share": ...}`` while at it.
    """
    from flash.training.loop import train  # noqa: PLC0415 (an extra)

    if checkpoint is not None and not checkpoint.parent.is_dir():
        checkpoint = None
    try:
        trained = train(
            network,
            images,
            recipe,
            seed,
            checkpoint=checkpoint,
            progress=lambda share: tell({"share": share}),
        )
    except BrokenPipeError:
        raise
    except FlashError as error:
        return {"failed": str(error)}
    except OSError as error:
        return {"failed": f"its checkpoint cannot be written: {error.strerror or error}"}
    except (MemoryError, RuntimeError, ValueError) as error:  # torch: out of memory, full disk
        return {"failed": str(error).strip().partition("\n")[0] or "not enough memory"}
    return {"done": asdict(trained)}


def _train(
    given: Message, images: ImageSet, folder: Path, tell: Callable[[Message], None]
) -> Message:
    try:
        space = load_space(given["space"])
        network = space.network(space.design(space.family.parse(given["design"])))
    except FlashError as error:
        return {"failed": str(error)}
    stages = tuple((int(epochs), float(share)) for epochs, share in given["recipe"]["stages"])
    recipe = Recipe(**{**given["recipe"], "stages": stages})
    return perform(network, images, recipe, given["seed"], folder / given["file"], tell)


def main(arguments: list[str]) -> int:
    """Serve jobs from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers itself
    # Libraries may print; only jobs speak on what was standard output.
    telling = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    folder = Path(arguments[0])
    keep_freed_memory()
    images = ImageSet.load(folder / "images.npz")
    try:
        for line in sys.stdin:
            _tell(telling, _train(json.loads(line), images, folder, lambda x: _tell(telling, x)))
    except BrokenPipeError:
        return 1
    return 0


def _tell(stream: TextIO, message: Message) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
