"""Colours of Plotly as Matplotlib takes them: names, rgb() and rgba(), and scales of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

_RGB = re.compile(r"rgba?\(([^)]*)\)")
#: Of a scale that a figure does not name.
DEFAULT = ((0.0, "#FFFFFF"), (1.0, "#0072B2"))


def colour(text: Any, otherwise: str = "#1D2129") -> Any:
    """Return a colour; rgb(0, 114, 178) and rgba(0, 0, 0, 0.5) as shares."""
    if not isinstance(text, str):
        return otherwise
    match = _RGB.fullmatch(text.strip())
    if match is None:
        return text
    *channels, alpha = [float(part) for part in match[1].split(",")] + ([1.0] if match[1].count(",") == 2 else [])
    return (*(c / 255 for c in channels), alpha)


def scale(stops: Any) -> Colormap:
    """Return a scale of colours; by name where Matplotlib knows it."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap

    if isinstance(stops, str):
        known = {name.lower(): name for name in matplotlib.colormaps}
        return matplotlib.colormaps[known.get(stops.lower(), "viridis")]
    if stops is None or not len(stops):
        stops = DEFAULT
    return LinearSegmentedColormap.from_list("plotly", [(float(at), colour(c)) for at, c in stops], N=1024)


def scaled(settings: Mapping[str, Any], layout: Mapping[str, Any], values: Any, ends: Sequence[str]) -> dict[str, Any]:
    """Return `cmap`, `vmin` and `vmax` of what is coloured by its values, on a scale of its own or on a shared one.

    Args:
        settings: of a heat map or of markers.
        ends: the names of the scale's ends, such as 'zmin' and 'zmax'.
    """
    import numpy as np

    shared = settings.get("coloraxis")
    own = layout.get(str(shared), {}) if shared else settings
    names = ("cmin", "cmax") if shared else ends
    array = np.asarray(values, float)
    array = array[np.isfinite(array)]
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 1.0)
    low, high = (float(own[n]) if own.get(n) is not None else v for n, v in zip(names, (low, high), strict=True))
    stops = own.get("colorscale")
    if own.get("reversescale"):
        stops = [[1 - at, c] for at, c in reversed(stops or DEFAULT)]
    return {"cmap": scale(stops), "vmin": low, "vmax": high if high > low else low + 1}
