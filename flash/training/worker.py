"""One training, and what is told of it: plain messages, for whoever waits in another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flash.errors import FlashError
from flash.spaces.network import Network
from flash.training.images import ImageSet
from flash.training.recipe import Recipe

__all__ = ["Message", "perform"]

#: What is told: ``share``, ``done`` or ``failed``.
Message = dict[str, Any]


def perform(
    network: Network,
    images: ImageSet,
    recipe: Recipe,
    seed: int,
    checkpoint: Path | None = None,
    until: int | None = None,
    tell: Callable[[Message], None] = lambda message: None,
) -> Message:
    """Train a network: ``{"done": ...}``, or ``{"failed": why}``.

    checkpoint: used if its folder is there (on another machine it may not be).
    until:      epochs after which it stops (``train``).
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
            until=until,
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
