"""The plot of the cost of bytes by their number, `cost_by_size.svg`. The same numbers give the same file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot  # after the backend is chosen
from matplotlib.axes import Axes

#: Seconds by the number of bytes.
Curve = Mapping[int, float]

#: The label, color and marker of each way to cross; one that was not measured is left out.
_STYLES = {
    "stock": ("stock wasmtime", "#9a3412", "s"),
    "list": ("ours: list", "#ca8a04", "^"),
    "latin-1": ("ours: Latin-1 string", "#15803d", "D"),
    "pointer": ("ours: address", "#1d4ed8", "o"),
    "copy": ("one copy", "#94a3b8", ""),
}
_UNITS = ((1 << 20, "MiB"), (1 << 10, "KiB"))
_TIMES = {
    1e-7: "100 ns",
    1e-6: "1 µs",
    1e-5: "10 µs",
    1e-4: "100 µs",
    1e-3: "1 ms",
    1e-2: "10 ms",
    1e-1: "100 ms",
    1e0: "1 s",
}


def save(path: Path, directions: Mapping[str, Mapping[str, Curve]]) -> None:
    """Draw one panel for each direction, with a curve for each way to cross."""
    look = {"svg.hashsalt": "cost by size", "svg.fonttype": "path", "font.size": 11, "axes.edgecolor": "#94a3b8"}
    with mpl.rc_context(look):
        figure, panels = pyplot.subplots(1, len(directions), figsize=(11, 4.8), sharey=True, layout="constrained")
        for panel, (title, curves) in zip(panels, directions.items(), strict=True):
            _draw(panel, title, curves)
        panels[0].set_ylabel("time for one call")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.savefig(path, format=path.suffix.removeprefix("."), metadata=_metadata(path), facecolor="white")
        pyplot.close(figure)


def _draw(panel: Axes, title: str, curves: Mapping[str, Curve]) -> None:
    for name, (label, colour, marker) in _STYLES.items():
        curve = curves.get(name)
        if curve:
            line = "--" if name == "copy" else "-"
            panel.plot(list(curve), list(curve.values()), line, color=colour, marker=marker, label=label, linewidth=2)
    panel.set(xscale="log", yscale="log", title=title, xlabel="bytes")
    sizes = sorted({size for curve in curves.values() for size in curve})
    panel.set_xticks(sizes[::2], [_spell(size) for size in sizes[::2]])
    panel.set_yticks(list(_TIMES), list(_TIMES.values()))
    panel.minorticks_off()
    panel.grid(color="#e2e8f0")
    panel.spines[["top", "right"]].set_visible(False)


def _spell(size: int) -> str:
    return next((f"{size // unit} {name}" for unit, name in _UNITS if size >= unit), str(size))


def _metadata(path: Path) -> dict[str, str | None]:
    return {"Date": None, "Creator": None} if path.suffix == ".svg" else {}
