"""The plot of the rate of requests by the number of sessions, `batching.svg`. The same numbers give the same file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot  # after the backend is chosen
from matplotlib.axes import Axes

#: For each model, with batches and without: requests in a second, by the number of sessions.
Curves = dict[str, dict[str, dict[int, float]]]

_STYLES = {"without": ("without batches", "#94a3b8", "s"), "with": ("with batches", "#1d4ed8", "o")}


def save(path: Path, curves: Curves) -> None:
    """Draw one panel for each model."""
    look = {"svg.hashsalt": "batching", "svg.fonttype": "path", "font.size": 11, "axes.edgecolor": "#94a3b8"}
    with mpl.rc_context(look):
        figure, panels = pyplot.subplots(1, len(curves), figsize=(11, 4.2), layout="constrained")
        for panel, (title, ways) in zip(panels, curves.items(), strict=True):
            _draw(panel, title, ways)
        panels[0].set_ylabel("requests in a second")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
        pyplot.close(figure)


def _draw(panel: Axes, title: str, ways: Mapping[str, Mapping[int, float]]) -> None:
    for name, (label, color, marker) in _STYLES.items():
        curve = ways[name]
        panel.plot(list(curve), list(curve.values()), "-", color=color, marker=marker, label=label, linewidth=2)
    panel.set(xscale="log", title=title, xlabel="sessions")
    panel.set_ylim(bottom=0)
    panel.set_xticks(list(ways["with"]), [str(number) for number in ways["with"]])
    panel.minorticks_off()
    panel.grid(color="#e2e8f0")
    panel.spines[["top", "right"]].set_visible(False)
