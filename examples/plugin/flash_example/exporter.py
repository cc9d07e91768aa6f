"""An exporter: the weights as one ``.npz`` file that NumPy alone can read."""

from __future__ import annotations

import io

import numpy as np

from flash.errors import FlashError
from flash.export import Build, Exporter, Order

__all__ = ["NPZ", "npz_build"]


def npz_build(order: Order) -> Build:
    """``STEM.npz``: every array under its layer's name; read back before it is delivered."""
    stream = io.BytesIO()
    np.savez(stream, **order.weights)  # type: ignore[arg-type]  # names are the arrays'
    content = stream.getvalue()
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        same = all(np.array_equal(archive[name], w) for name, w in order.weights.items())
    if not same:
        raise FlashError("the archive does not hold the weights it was made of")
    entry = {**order.signature, "arrays": len(order.weights), "verified": ["read back, equal"]}
    return Build({f"{order.stem}.npz": content}, entry)


NPZ = Exporter(npz_build, lambda entry: [f"{entry['arrays']} arrays"])
