"""`python -m witgen` is `witgen`."""

from __future__ import annotations

from witgen.cli import main

main()
