"""The curves of a training as a picture."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["curves_svg"]

_WIDTH, _HEIGHT, _LEFT, _TOP = 640.0, 300.0, 64.0, 40.0


def curves_svg(name: str, loss: Sequence[float], score: Sequence[float]) -> str:
    """Loss and validation score after each epoch, each on its own scale."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH:g}" height="{_HEIGHT:g}" fill="#ffffff"/>',
        f'<text x="{_LEFT:g}" y="22" font-size="15">Training of {html.escape(name)}</text>',
    ]
    for values, colour, label, side in (
        (loss, "#64748b", "training loss", 0),
        (score, "#2563eb", "validation score", 1),
    ):
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        steps = max(len(values) - 1, 1)
        points = " ".join(
            f"{_LEFT + k * (_WIDTH - 2 * _LEFT) / steps:.1f},"
            f"{_HEIGHT - _TOP - (v - low) / span * (_HEIGHT - 2 * _TOP):.1f}"
            for k, v in enumerate(values)
        )
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        x = _LEFT - 6 if side == 0 else _WIDTH - _LEFT + 6
        anchor = "end" if side == 0 else "start"
        for value, y in ((high, _TOP + 4), (low, _HEIGHT - _TOP + 4)):
            place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
            lines.append(f'<text {place} fill="{colour}">{value:.3g}</text>')
        lines.append(
            f'<text x="{_LEFT + 150 * side:g}" y="{_HEIGHT - 10:g}" fill="{colour}">{label}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"
