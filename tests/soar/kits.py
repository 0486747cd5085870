"""Runs the code of a kit inside a stand-in for its tool."""

import contextlib
import importlib.util
import pathlib
import sys
import types

SOAR = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "soar"


def load(path, **stand_ins):
    """Loads a file of a kit as a module; stand-ins are the modules that its tool has."""
    return load_folder(path.parent, path.stem, **stand_ins)


def load_folder(folder, name, **stand_ins):
    """Loads the module `name` of a folder, with its neighbours to be found beside it."""
    sys.dont_write_bytecode = True
    with _there(folder, stand_ins):
        spec = importlib.util.spec_from_file_location(f"kit_{name}", folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _there(folder, stand_ins):
    before = dict(sys.modules)
    sys.path.insert(0, str(folder))
    for name, module in stand_ins.items():
        sys.modules[name.replace("__", ".")] = module
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - set(before):
            # What lies beside one kit is not what the next one means by the same name.
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")) or name.replace(".", "__") in stand_ins:
                del sys.modules[name]


def module(name, **members):
    """Returns a module that has these members."""
    made = types.ModuleType(name)
    made.__dict__.update(members)
    return made
