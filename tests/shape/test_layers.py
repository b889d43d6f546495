"""The import order is the architecture: rows, outside worlds, cycles, and what no module may do."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "onnxport"

# Upper rows may import lower rows, never the reverse; siblings on a row never import each other.
ROWS = (
    ("__main__",),
    ("cli", "container"),
    ("ending",),
    ("deploy",),
    ("image",),
    ("server", "check", "bench", "export"),
    ("predictor", "client"),
    ("session", "codec", "schema", "display"),
    ("modelfile",),
    ("keys", "manifest", "settings", "tensors"),
    ("analysis", "coherence", "fields", "stored"),
    ("signature",),
    ("datatypes",),
    ("errors", "runtime", "compare"),
)
ROW_OF = {part: row for row, parts in enumerate(ROWS) for part in parts}

# Which modules may import from an outside world; what stands in neither table is refused.
ANYWHERE = frozenset({"msgspec", "numpy", "orjson"})
WORLDS = {
    "boto3": ("deploy.aws",),
    "botocore": ("deploy.aws",),
    "catboost": ("export",),
    "click": ("cli",),
    "fastapi": ("server",),
    "fastapi_offline": ("server",),
    "httptools": ("bench", "server"),
    "httpx2": ("client", "image.registry"),
    "joblib": ("export",),
    "lightgbm": ("export",),
    "onnx": ("export",),
    "onnxruntime": ("runtime",),
    "opentelemetry": ("server.tracing",),
    "pandas": ("export",),
    "scipy": ("export",),
    "sklearn": ("export",),
    "starlette": ("server",),
    "subprocess": ("deploy.preflight", "export", "image"),
    "torch": ("export",),
    "uvicorn": ("server",),
    "uvloop": ("server",),
    "xgboost": ("export",),
    "yaml": ("export",),
}
ONE_IMPORTER = "joblib"  # reads pickles that the user vouches for: one module, easy to audit

FORBIDDEN_IMPORTS = frozenset({"cloudpickle", "dill", "marshal", "pickle", "shelve"})
FORBIDDEN_CALLS = frozenset({"eval", "exec", "os.popen", "os.system", "pickle.loads"})
FORBIDDEN_OPTIONS = frozenset({"allow_pickle", "shell"})
EDGE_CALLS = frozenset({"breakpoint", "exit", "input", "os._exit", "print", "quit", "sys.exit"})
IMPORTERS = frozenset({"__import__", "import_module", "importlib.import_module"})
EDGES = frozenset({"__main__", "cli", "container", "ending"})


@dataclass(frozen=True)
class Module:
    """A parsed module: `name` is dotted, below the package; "" is the package itself."""

    name: str
    is_package: bool
    tree: ast.Module

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]


def read_modules(source: Path) -> dict[str, Module]:
    """Every module under the package's folder, by name."""
    modules = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, is_package, ast.parse(path.read_text("utf-8"), str(path)))
    return modules


def imports(module: Module, modules: dict[str, Module]) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that a module imports, inside functions too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                is_module = inner.removeprefix(PACKAGE + ".") in modules
                yield node.lineno, inner if is_module and inner.startswith(PACKAGE) else base
        elif isinstance(node, ast.Call) and _dotted(node.func) in IMPORTERS:
            literals = (name for name in node.args[:1] if isinstance(name, ast.Constant))
            yield from ((node.lineno, str(name.value)) for name in literals)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    here = [PACKAGE, *module.name.split(".")] if module.name else [PACKAGE]
    climb = node.level - 1 if module.is_package else node.level
    return ".".join([*here[: len(here) - climb], *([node.module] if node.module else [])])


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def violations(source: Path) -> list[str]:
    """Every breach of the order under a package's folder, as "module:line: sentence"."""
    modules = read_modules(source)
    graph: dict[str, set[str]] = {name: set() for name in modules}
    found: set[str] = set()
    for module in modules.values():
        for line, target in imports(module, modules):
            inner = target == PACKAGE or target.startswith(PACKAGE + ".")
            sentence = _inside(module, target) if inner else _outside(module, target)
            if sentence:
                found.add(f"{module.name}:{line}: {sentence}")
            if inner and module.name and target != PACKAGE:
                graph[module.name].add(target.removeprefix(PACKAGE + "."))
        found |= {f"{module.name}:{line}: {what}" for line, what in _deeds(module)}
    return sorted([*found, *_without_row(modules), *_cycles(graph), *_importers(modules)])


def _inside(module: Module, target: str) -> str:
    part = target.removeprefix(PACKAGE).removeprefix(".").partition(".")[0]
    if not module.name or part == module.part:  # the public names point anywhere, lazily
        return ""
    if not part:
        return "imports the public names; import from the module that defines them"
    here, there = ROW_OF.get(module.part), ROW_OF.get(part)
    if here is None or there is None or here < there:
        return ""
    return f"imports {part}, which is {'a sibling' if here == there else 'a row above'}"


def _outside(module: Module, target: str) -> str:
    world = target.partition(".")[0]
    if world in FORBIDDEN_IMPORTS:
        return f"imports {world}, which nothing here may"
    homes = WORLDS.get(world)
    if homes is None:
        known = world in ANYWHERE or world in sys.stdlib_module_names
        return "" if known else f"imports {world}, which stands in no table of outside worlds"
    if any(module.name == home or module.name.startswith(home + ".") for home in homes):
        return ""
    return f"imports {world}, which belongs to {' and '.join(homes)}"


def _deeds(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id == "SystemExit" and module.part not in EDGES:
            yield node.lineno, "raises or catches SystemExit, which belongs to cli"
        if not isinstance(node, ast.Call):
            continue
        name = _dotted(node.func)
        if name in FORBIDDEN_CALLS:
            yield node.lineno, f"calls {name}(), which nothing here may"
        if name in EDGE_CALLS and module.part not in EDGES:
            yield node.lineno, f"calls {name}(), which belongs to cli"
        for option in node.keywords:
            is_off = isinstance(option.value, ast.Constant) and not option.value.value
            if option.arg in FORBIDDEN_OPTIONS and not is_off:
                yield node.lineno, f"passes {option.arg}=, which nothing here may"


def _without_row(modules: dict[str, Module]) -> list[str]:
    parts = {module.part for module in modules.values() if module.name}
    return [f"{part}:1: stands on no row" for part in parts - ROW_OF.keys()]


def _cycles(graph: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as err:
        ring = err.args[1]
        return [f"{ring[0]}:1: import cycle {' > '.join(ring)}"]
    return []


def _importers(modules: dict[str, Module]) -> list[str]:
    users = [
        module.name
        for module in modules.values()
        if any(target.partition(".")[0] == ONE_IMPORTER for _, target in imports(module, modules))
    ]
    return [f"{name}:1: a second importer of {ONE_IMPORTER}" for name in users[1:]]


def test_the_source_keeps_the_order(root: Path) -> None:
    assert violations(root / "src" / PACKAGE) == []


def test_the_source_is_read(root: Path) -> None:
    modules = read_modules(root / "src" / PACKAGE)
    assert {"", "cli", "runtime", "server"} <= modules.keys()
    assert (6, f"{PACKAGE}.errors") in list(imports(_parse("codec", 6), modules))


def _parse(name: str, line: int) -> Module:
    text = "\n" * (line - 1) + f"from {PACKAGE}.errors import Detail"
    return Module(name, is_package=False, tree=ast.parse(text))


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"codec.py": "from onnxport.predictor import load"}, "imports predictor, which is a row"),
        ({"codec.py": "from onnxport import session"}, "imports session, which is a sibling"),
        ({"codec.py": "from . import session"}, "imports session, which is a sibling"),
        ({"server/app.py": "from ..export.gate import x"}, "imports export, which is a sibling"),
        ({"codec.py": "def f():\n    import onnxport.cli"}, "codec:2: imports cli, which is a row"),
        ({"codec.py": "from onnxport import save"}, "imports the public names"),
        ({"server/app.py": "import onnx.helper"}, "imports onnx, which belongs to export"),
        ({"deploy/plan.py": "def f():\n    import boto3"}, "belongs to deploy.aws"),
        ({"codec.py": "import importlib\nimportlib.import_module('sklearn')"}, "imports sklearn"),
        ({"codec.py": "import requests"}, "stands in no table"),
        ({"export/load.py": "import pickle"}, "imports pickle, which nothing here may"),
        ({"export/a.py": "import joblib", "export/b.py": "import joblib"}, "a second importer"),
        ({"export/a.py": "eval('1')"}, "calls eval()"),
        ({"export/a.py": "import subprocess\nsubprocess.run('ls', shell=True)"}, "passes shell="),
        ({"codec.py": "print('x')"}, "calls print(), which belongs to cli"),
        ({"server/app.py": "import sys\nsys.exit(1)"}, "calls sys.exit()"),
        ({"check.py": "raise SystemExit(1)"}, "SystemExit"),
        ({"utils.py": ""}, "utils:1: stands on no row"),
        (
            {"export/a.py": "import onnxport.export.b", "export/b.py": "from . import a"},
            "import cycle",
        ),
    ],
)
def test_a_breach_is_found(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    source = _write(tmp_path, {"session.py": "", "export/gate.py": "", **files})
    found = violations(source)
    assert len(found) == 1
    assert complaint in found[0]


def test_an_orderly_tree_passes(tmp_path: Path) -> None:
    files = {
        "cli.py": "import click\nfrom onnxport import server\nprint('x')",
        "export/__init__.py": "from onnxport.export.gate import passes",
        "export/gate.py": "import subprocess\nimport onnx\nfrom onnxport import errors",
        "server/__init__.py": "from .app import create_app",
        "server/app.py": "import fastapi\nimport numpy as np\nnp.load('x', allow_pickle=False)",
    }
    assert violations(_write(tmp_path, files)) == []


def _write(folder: Path, files: dict[str, str]) -> Path:
    source = folder / PACKAGE
    for name, text in {"__init__.py": "", "errors.py": "", **files}.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return source
