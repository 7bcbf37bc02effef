"""Curves in the terminal, drawn with braille dots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.text import Text

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def braille(
    curves: Sequence[tuple[np.ndarray, np.ndarray, str]],
    width: int,
    height: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Text:
    """Curves (x, y, colour) as a block of `height` lines of `width` characters."""
    cells = np.zeros((height, width), int)
    colours: dict[tuple[int, int], str] = {}
    for x, y, colour in curves:
        inside = np.isfinite(x) & np.isfinite(y)
        if not inside.any():
            continue
        px = (x[inside] - x_range[0]) / max(x_range[1] - x_range[0], 1e-9) * (2 * width - 1)
        py = (y_range[1] - y[inside]) / max(y_range[1] - y_range[0], 1e-9) * (4 * height - 1)
        # one point a dot column, joined by lines, so that few and many points look alike
        columns = np.arange(int(np.ceil(px[0])), int(px[-1]) + 1) if len(px) > 1 else np.array([int(px[0])])
        rows = np.clip(np.interp(columns, px, py).round().astype(int), 0, 4 * height - 1)
        for i, (column, row) in enumerate(zip(columns, rows, strict=True)):
            top = rows[i - 1] if i else row
            low, high = min(top, row), max(top, row)
            for dot in range(low + (1 if high > low and top < row else 0), high + (0 if top > row else 1)):
                cell = (dot // 4, min(int(column) // 2, width - 1))
                cells[cell] |= _DOTS[dot % 4, int(column) % 2]
                colours[cell] = colour
    text = Text()
    for r in range(height):
        for c in range(width):
            text.append(chr(0x2800 + cells[r, c]), style=colours.get((r, c), ""))
        text.append("\n" if r < height - 1 else "")
    return text
