#!/usr/bin/env python3
"""Does what a newcomer does: runs the commands of a document, as printed, in a fresh folder, and compares what they print.

    tests/docs/newcomer.py BINARY

The blocks marked `sh` of the sections below are run one after the other in one shell. A block marked `text` after "It
prints:" is what must come: its lines in this order, wherever they stand within a line; `...` stands for anything. `cargo` is a stand-in that takes the given binary for built,
the folder has the repository's files beside it, and all of it must be over within ten minutes.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WALKS = {
    "README.md": ["See it work", "Rehearse on your own machine"],
    "docs/quickstart.md": None,
}
LIMIT = 600
MARK = "---- end of block"
CARGO = """#!/bin/sh
case "$*" in
"build --release" | test) ;;
"run --release -- demo") exec quarantine-bridge demo ;;
*) echo "cargo $*: not for a newcomer" >&2; exit 2 ;;
esac
"""


def blocks(document, sections):
    """The blocks to run, each with what it must print."""
    text = (ROOT / document).read_text()
    if sections is not None:
        parts = re.split(r"(?m)^## (.*)\n", text)
        chapters = dict(zip(parts[1::2], parts[2::2]))
        text = "\n".join(chapters[name] for name in sections)
    found = re.findall(r"(?ms)^```sh\n(.*?)^```\n(?:\s*It prints(?:, among other lines)?:\n\n```text\n(.*?)^```\n)?", text)
    return [(commands, shown.splitlines()) for commands, shown in found]


def missing(shown, printed):
    """The first line of what must be shown that was not printed."""
    at = 0
    for line in shown:
        pattern = re.compile(".*".join(re.escape(part) for part in line.strip().split("...")))
        match = pattern.search(printed, at)
        if match is None:
            return line
        at = match.end()
    return None


def folder(binary):
    """A checkout as a newcomer has it, with the binary already built."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="newcomer-"))
    for entry in ROOT.iterdir():
        if entry.name not in {"target", ".git", "rehearsal"}:
            (place / entry.name).symlink_to(entry)
    (place / "target/release").mkdir(parents=True)
    (place / "target/release/quarantine-bridge").symlink_to(binary)
    (place / "stand-in").mkdir()
    (place / "stand-in/cargo").write_text(CARGO)
    (place / "stand-in/cargo").chmod(0o755)
    return place


def walk(document, sections, binary):
    place = folder(binary)
    steps = blocks(document, sections)
    script = "".join(f"{commands}\necho '{MARK}'\n" for commands, _ in steps)
    path = f"{place}/stand-in:{place}/target/release:{os.environ['PATH']}"
    begun = time.monotonic()
    # To a file: what a block leaves running would keep a pipe open.
    with open(place / "printed", "w+") as printed:
        shell = subprocess.Popen(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=place, env={**os.environ, "PATH": path}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
        )
        try:
            shell.wait(LIMIT)
        except subprocess.TimeoutExpired:
            print(f"{document}: not over within {LIMIT} s", file=sys.stderr)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        printed.seek(0)
        text = printed.read()
    done = text.split(f"{MARK}\n")
    if len(done) <= len(steps):
        sys.exit(f"{document}: ended in block {len(done)} of {len(steps)}\n{steps[len(done) - 1][0]}\nprinted:\n{done[-1]}")
    for (commands, shown), output in zip(steps, done):
        line = missing(shown, output)
        if line is not None:
            sys.exit(f"{document}: not printed: {line}\nby\n{commands}\nwhich printed\n{output}")
    shutil.rmtree(place)
    checked = sum(1 for _, shown in steps if shown)
    print(f"{document}: {len(steps)} blocks run, {checked} compared, {time.monotonic() - begun:.0f} s")
    return text


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    for document, sections in WALKS.items():
        if (ROOT / document).exists():
            text = walk(document, sections, binary)
            if "--show" in sys.argv:
                print(text)


if __name__ == "__main__":
    main()
