"""What a stage's result depends on besides its settings and inputs: the code of `dac` that it runs.

Snakemake sees a rule's script but not the modules that the script imports. A stage's *closure* is
the set of files that importing its entry modules can load from this package, found by reading the
import statements (also those inside functions) without running anything. Its *digest* is a hash of
those files with comments and docstrings left out, so that it changes when behaviour may have. What
a module runs besides Python is part of both, comments included: with `dac.ops` the kernels' sources
(`dac/csrc`; the flags that they are compiled with stand in `dac.ops.build`, which whole rays
import), with the tables' writers their templates. Which backend
a run takes is none of the code: `dac.ops.backend.backend_record` says it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]

# Settings are frozen by value before a stage runs, so the file that declares them is no dependency.
# Provenance itself decides when a stage runs, never what it computes.
LEFT_OUT = frozenset({"settings.py", "storage/provenance.py"})

# Module -> the folder of what it runs besides Python.
_BESIDE = {"ops/__init__.py": "csrc", "report/table_files.py": "report/assets"}
_SUFFIXES = frozenset({".h", ".cpp", ".cu", ".html"})


def closure(*modules: str, package: Path = PACKAGE) -> list[Path]:
    """Files of the package that importing the modules can load, cycles and packages included.

    Args:
        modules: dotted names, e.g. `dac.conquer.distill`.
        package: the package's folder; its name is the first part of the modules' names.

    Returns:
        Paths, sorted, of Python files, kernels' sources and templates; `dac.settings` is left out
        (see the module's docstring).

    Raises:
        ModuleNotFoundError: a module does not exist.
    """
    for module in modules:
        if not _files(module, package):
            raise ModuleNotFoundError(f"no module {module} in {package}")
    found: set[Path] = set()
    queue = list(modules)
    seen: set[str] = set()
    while queue:
        module = queue.pop()
        if module in seen:
            continue
        seen.add(module)
        for file in _files(module, package):
            if file in found or file.relative_to(package).as_posix() in LEFT_OUT:
                continue
            found.add(file)
            queue.extend(_read(file, package, file.stat().st_mtime_ns)[0])
    for module, folder in _BESIDE.items():
        if package / module in found:
            files = (package / folder).rglob("*")
            found.update(file for file in files if file.suffix in _SUFFIXES)
    return sorted(found)


def source_digest(*modules: str, package: Path = PACKAGE) -> str:
    """A hash (16 hex digits) of the modules' closure, blind to Python's comments and docstrings."""
    digest = hashlib.sha256()
    for file in closure(*modules, package=package):
        digest.update(file.relative_to(package).as_posix().encode())
        digest.update(b"\0")
        if file.suffix == ".py":
            digest.update(_read(file, package, file.stat().st_mtime_ns)[1].encode())
        else:
            digest.update(file.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _files(module: str, package: Path) -> list[Path]:
    """The files that `import module` runs: each parent package's `__init__.py`, then its own.

    Empty where the module is none of this package.
    """
    root, *parts = module.split(".")
    if root != package.name:
        return []
    folders = [package.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    last = folders[-1]
    own = last / "__init__.py" if last.is_dir() else last.with_suffix(".py")
    if not own.is_file():
        return []
    return [*(folder / "__init__.py" for folder in folders[:-1]), own]


# The modification time is part of the key, so that a long-lived process sees an edit.
@cache
def _read(file: Path, package: Path, changed: int) -> tuple[tuple[str, ...], str]:
    """A file's imports and its behaviour."""
    tree = ast.parse(file.read_bytes(), filename=str(file))
    return tuple(_imports(tree, file, package)), _behaviour(tree)


def _imports(tree: ast.Module, file: Path, package: Path) -> Iterator[str]:
    """Dotted names that a file's import statements may load; strangers among them do no harm."""
    here = file.relative_to(package.parent).parent.parts  # where a relative import starts from
    for node in _statements(tree, run=True):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            # `from dac.ops import reference` names a module, `from dac.ops import jitter` none.
            yield from (f"{name}.{alias.name}" for alias in node.names)


def _statements(tree: ast.AST, *, run: bool = False) -> Iterator[ast.AST]:
    """All statements of a tree, handlers and cases among them, and no expression.

    Args:
        run: leave out those that only a type checker reads (`if TYPE_CHECKING:`).
    """
    for field in ("body", "handlers", "cases", "orelse", "finalbody"):
        if field == "body" and run and _is_for_type_checkers(tree):
            continue
        for node in getattr(tree, field, ()):
            yield node
            yield from _statements(node, run=run)


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _behaviour(tree: ast.Module) -> str:
    """The code without comments, docstrings, layout and module dunders (`__version__`)."""
    tree.body = [node for node in tree.body if not _sets_dunder(node)]
    for node in [tree, *_statements(tree)]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = list(_without_text(node.body)) or [ast.Pass()]
    return ast.unparse(tree)


def _without_text(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements other than bare strings: docstrings, also those under an attribute."""
    for node in body:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not text or not isinstance(node.value.value, str):  # type: ignore[attr-defined]
            yield node


def _sets_dunder(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return bool(names) and all(name.startswith("__") and name.endswith("__") for name in names)
