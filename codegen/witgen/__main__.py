"""`python -m witgen` is `witgen`."""

from witgen.cli import main

main()
