"""Runs every kit of deploy/soar against the real service. Run by .ci/run.

    python3 run.py BINARY [KIT ...]

Needs the packages of requirements.txt in this Python. Each kit has a bridge of its own, and all run at once: they wait most of
the time. Inside the tools themselves nothing of it was run; what stands in for them is in the test_*.py.
"""

import importlib
import pathlib
import subprocess
import sys

# The tree stays as it is.
sys.dont_write_bytecode = True

import copies
from scenarios import Checks
from stage import Stage

HERE = pathlib.Path(__file__).resolve().parent


def one(binary, name):
    """Runs one kit's checks; returns whether all held."""
    checks = Checks(name)
    with Stage(binary) as stage:
        importlib.import_module(f"test_{name}").run(stage, checks)
    print(f"{name}: {checks.passed} passed, {checks.failures} failed")
    return checks.failures == 0


def main(binary, *names):
    if (different := copies.differing()):
        sys.exit("other copies than the original: " + ", ".join(different))
    names = names or sorted(path.stem.removeprefix("test_") for path in HERE.glob("test_*.py"))
    if len(names) == 1:
        sys.exit(0 if one(binary, names[0]) else 1)
    runs = [subprocess.Popen([sys.executable, __file__, binary, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for name in names]
    for run in runs:
        print(run.communicate()[0], end="")
    sys.exit(max(run.returncode for run in runs))


if __name__ == "__main__":
    main(*sys.argv[1:])
