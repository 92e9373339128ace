"""The output at the end of a run: `--stats`, `--stats=json`, and the last wasi-nn error of a guest that failed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from wasi_nn_torch.sessions.stats import SessionStats

if TYPE_CHECKING:
    from wasi_nn_torch.sessions.session import Session


class StatsFormat(Enum):
    """A table, or one JSON object on one line."""

    TABLE = "table"
    JSON = "json"


class CommandWithStats(TyperCommand):
    """A command whose option `--stats` without a value means `--stats=table`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # typer brings its own copy of click
        """Add the default value of `--stats`; otherwise the parser would take the next argument for it."""
        return super().parse_args(ctx, self._spelled_out(args))

    def _spelled_out(self, args: Sequence[str]) -> list[str]:
        spelled = list(args)
        with_value = {name for option in self.params if not _is_flag(option) for name in option.opts} - {"--stats"}
        at = 0
        while at < len(spelled) and spelled[at].startswith("-") and spelled[at] not in ("-", "--"):
            if spelled[at] == "--stats":
                spelled[at] = f"--stats={StatsFormat.TABLE.value}"
            at += 2 if spelled[at] in with_value else 1
        return spelled


def _is_flag(option: Any) -> bool:  # noqa: ANN401
    return bool(getattr(option, "is_flag", False) or getattr(option, "count", False))


def print_session_stats(stats: SessionStats, wanted: StatsFormat) -> None:
    """Print on standard error."""
    if wanted is StatsFormat.JSON:
        print(json.dumps(stats.to_dict()), file=sys.stderr)
        return
    from wasi_nn_torch.cli.stats_table import print_stats

    print_stats(stats)


def print_last_refusal(session: Session, name: str, status: int) -> None:
    """If the guest failed after it received an error, print that error as the likely reason."""
    refusal = session.last_refusal
    if status and refusal is not None:
        print(refusal.after(f"{name} exited with status {status}"), file=sys.stderr)
