"""The page that shows what each plug-in has cost."""

from html import escape

from guardrail.plugin import Plugin
from guardrail.service import Guardrail

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #757575; --bad: #c62828; --bar: #4a7bd0; }
@media (prefers-color-scheme: dark) { :root { --soft: #9b9b9b; --bad: #ef7070; --bar: #7aa2ea; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
p { color: var(--soft); margin: .2rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { font-weight: 500; font-size: .8rem; color: var(--soft); text-align: right; vertical-align: bottom; }
th, td { padding: .45rem .7rem; border-bottom: 1px solid var(--line); }
td { text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } td.words, th.words { text-align: left; }
.name { font-weight: 600; } .models { color: var(--soft); font-size: .8rem; display: block; }
.bad { color: var(--bad); } .none { color: var(--soft); }
.bar { display: block; height: 3px; margin-top: 3px; background: var(--bar); margin-left: auto; border-radius: 2px; }
.step { border: 1px solid var(--line); border-radius: 4px; padding: .05rem .5rem; }
"""

_COLUMNS = (
    "plug-in", "calls", "allowed", "redacted", "denied", "failed", "time, total", "p50", "p99", "models computed",
    "tensor bytes copied", "most held", "instances started",
)  # fmt: skip


def page(guardrail: Guardrail) -> str:
    """The page in HTML; everything that plug-ins have a say in is escaped."""
    plugins = guardrail.plugins
    total = sum(plugin.costs.seconds for plugin in plugins.values())
    heads = "".join(f"<th{' class=words' if name == 'failed' else ''}>{name}</th>" for name in _COLUMNS)
    rows = "".join(_row(plugin, total) for plugin in plugins.values())
    chains = "".join(
        f"<tr><td class=name>{escape(name)}</td><td class=words>{_steps(names)}</td></tr>"
        for name, names in guardrail.config.chains.items()
    )
    stats = guardrail.stats
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>guardrail</title><style>{_STYLE}</style>"
        f"<h1>Guardrail</h1><p>{len(plugins)} plug-ins, {stats.running} instances running, "
        f"{sum(stats.ended.values())} ended, {total:.2f} s spent in plug-ins</p>"
        f"<h2>What each plug-in has cost</h2><table><tr>{heads}</tr>{rows}</table>"
        f"<h2>Chains</h2><table>{chains}</table></html>"
    )


def _row(plugin: Plugin, total: float) -> str:
    costs, verdicts = plugin.costs, plugin.costs.verdicts
    share = 100 * costs.seconds / total if total else 0
    models = ", ".join(plugin.config.models) or "no models"
    cells = [
        f"<span class=name>{escape(plugin.name)}</span><span class=models>{escape(models)}</span>",
        _count(costs.calls),
        *(_count(verdicts[verdict]) for verdict in ("allow", "redact", "deny")),
        _failures(plugin),
        f"{_time(costs.seconds)}<span class=bar style='width:{share:.0f}%'></span>",
        _time(costs.percentile(0.5)),
        _time(costs.percentile(0.99)),
        _count(costs.computes),
        _bytes(costs.bytes),
        _bytes(costs.peak_bytes),
        _count(plugin.instances.started),
    ]
    return (
        "<tr>" + "".join(f"<td{' class=words' if i == 5 else ''}>{cell}</td>" for i, cell in enumerate(cells)) + "</tr>"
    )


def _failures(plugin: Plugin) -> str:
    failures = plugin.costs.failures
    if not failures:
        return "<span class=none>&ndash;</span>"
    return "<br>".join(f"<span class=bad>{number} &times; {escape(kind)}</span>" for kind, number in failures.items())


def _steps(names: tuple[str, ...]) -> str:
    return " → ".join(f"<span class=step>{escape(name)}</span>" for name in names)


def _count(number: int) -> str:
    return f"{number:,}" if number else "<span class=none>&ndash;</span>"


def _time(seconds: float) -> str:
    if not seconds:
        return "<span class=none>&ndash;</span>"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def _bytes(number: int) -> str:
    if not number:
        return "<span class=none>&ndash;</span>"
    return f"{number:,} B" if number < 10_000 else f"{number / 1000:,.0f} kB"
