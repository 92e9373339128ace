"""Write the names of the classes for a program in C: `python write_labels.py LABELS.txt LABELS.h`."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Writes the array `LABELS` of a name for each line."""
    labels, header = map(Path, sys.argv[1:])
    names = labels.read_text("utf-8").splitlines()
    # A string in JSON is one in C, except for control characters, which names do not have.
    texts = "".join(f"    TEXT({json.dumps(name, ensure_ascii=False)}),\n" for name in names)
    header.write_text(f"static const text LABELS[] = {{\n{texts}}};\n", "utf-8")


if __name__ == "__main__":
    main()
