"""Holds the copies of deploy/soar/python/quarantine_bridge_client.py alike; `--update` writes them anew."""

import pathlib
import sys

SOAR = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "soar"
NAME = "quarantine_bridge_client.py"
BEGIN, END = f"# ---- begin {NAME} ----\n", f"# ---- end {NAME} ----\n"


def differing(update=False):
    """Returns the files whose copy is another, or is not there; writes them, if told to."""
    original = (SOAR / "python" / NAME).read_text()
    found = []
    for path in sorted(SOAR.rglob("*.py")):
        text = path.read_text()
        if path.name == NAME:
            wanted = original
        elif BEGIN in text:
            head, rest = text.split(BEGIN, 1)
            wanted = head + BEGIN + original + END + rest.split(END, 1)[1]
        else:
            continue
        if text != wanted:
            found.append(str(path.relative_to(SOAR)))
            if update:
                path.write_text(wanted)
    return found


if __name__ == "__main__":
    different = differing(update="--update" in sys.argv)
    print("\n".join(different) or "all copies are alike")
    sys.exit(1 if different and "--update" not in sys.argv else 0)
