"""The program `witgen`, also as `python -m witgen`: the command line, or an error if packages for it are missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

#: The packages of the extra `codegen`, without which the distribution can still run guests.
_PACKAGES = ("jinja2", "lark", "platformdirs", "ruff", "typer")


def main() -> None:
    """Run the command line."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        print(f"error: {', '.join(missing)} missing; run `pip install 'wit-host[codegen]'`", file=sys.stderr)
        raise SystemExit(2)
    from witgen.cli import app

    app()


if __name__ == "__main__":
    main()
