"""The plot of the rate of requests by the number of clients, `serving.svg`. The same numbers give the same file."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot  # after the backend is chosen
from matplotlib.axes import Axes

from benchmarks.serving.cases import CASES
from benchmarks.serving.table import Results, rate_of

_STYLES = {
    "direct": ("Starlette, the module called directly", "#94a3b8", "s"),
    "litserve": ("LitServe", "#f59e0b", "^"),
    "ours": ("this server", "#1d4ed8", "o"),
}


def save(path: Path, results: Results) -> None:
    """Draw one panel for each case."""
    look = {"svg.hashsalt": "serving", "svg.fonttype": "path", "font.size": 10, "axes.edgecolor": "#94a3b8"}
    with mpl.rc_context(look):
        figure, panels = pyplot.subplots(
            2, (len(results) + 1) // 2, figsize=(12, 7), layout="constrained", squeeze=False
        )
        drawn = [case for case in CASES if case.name in results]
        for panel, case in zip(panels.flat, drawn, strict=False):
            _draw(panel, case.title, results, case.name)
        for panel in panels.flat[len(drawn) :]:
            panel.set_axis_off()
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
        pyplot.close(figure)


def _draw(panel: Axes, title: str, results: Results, name: str) -> None:
    clients = list(results[name])
    for server, (label, color, marker) in _STYLES.items():
        rates = [rate_of(rounds, server) for rounds in results[name].values()]
        panel.plot(clients, rates, "-", color=color, marker=marker, label=label, linewidth=2)
    panel.set(xscale="log", title=title, xlabel="clients", ylabel="requests in a second")
    panel.set_ylim(bottom=0)
    panel.set_xticks(clients, [str(number) for number in clients])
    panel.minorticks_off()
    panel.grid(color="#e2e8f0")
    panel.spines[["top", "right"]].set_visible(False)
