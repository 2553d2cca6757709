"""The project's own tools, which are programs without an ending, as modules."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).resolve().parent.parent


def loaded(name: str) -> ModuleType:
    """Return the tool `tools/NAME`, loaded anew."""
    loader = importlib.machinery.SourceFileLoader(f"{name}_tool", str(TOP / "tools" / name))
    spec = importlib.util.spec_from_loader(f"{name}_tool", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    loader.exec_module(module)
    return module
