"""The house: whoever stands in `ROOMS` imports from what stands above it, never from below."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Each may import those above it and itself. `dac` alone is the package's own `__init__.py`.
ROOMS = (
    *("dac", "dac.errors", "dac.version", "dac.process", "dac.storage", "dac.settings"),
    *("dac.configuration", "dac.cameras", "dac.ops", "dac.scenes", "dac.fields", "dac.divide"),
    *("dac.training", "dac.conquer", "dac.evaluation", "dac.runs", "dac.catalogue", "dac.export"),
    *("dac.report", "dac.page", "dac.viewer", "dac.workflow", "dac.cli", "dac.__main__"),
)
# `dac.load` is offered at the top, and imported there for type checkers alone.
OFFERED = {("dac", "dac.export.model_file"), ("dac", "dac.version")}
# The same for the rooms of `dac.scenes`; its other modules are above or below them.
SCENES = ("dac.scenes.photos", "dac.scenes.sfm", "dac.scenes.formats")


def imports(root: Path) -> Iterator[tuple[str, str]]:
    """Module, and the module that it imports, anywhere in its code, for type checkers too."""
    for file in sorted((root / "dac").rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: a relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                if name.split(".")[0] == "dac" and (found := longest_module(root, name)) != module:
                    yield module, found


def longest_module(root: Path, name: str) -> str:
    """`dac.ops.tv` -> `dac.ops`, where `tv` is a function."""
    path = root.joinpath(*name.split("."))
    there = path.is_dir() or path.with_suffix(".py").is_file()
    return name if there else longest_module(root, name.rpartition(".")[0])


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def upward(root: Path) -> list[str]:
    return [
        f"{module} imports {name}"
        for module, name in imports(root)
        if ROOMS.index(room_of(module)) < ROOMS.index(room_of(name))
        and (module, name) not in OFFERED
    ]


def test_imports_run_one_way() -> None:
    assert upward(ROOT) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module, name in imports(ROOT):
        if (module, name) not in OFFERED:
            graph.setdefault(module, set()).add(name)
    TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_the_rooms_of_scenes_import_one_way() -> None:
    pairs = [
        (first.rpartition(".")[0], second.rpartition(".")[0]) for first, second in imports(ROOT)
    ]
    inner = [pair for pair in pairs if set(pair) <= set(SCENES)]
    assert inner and all(SCENES.index(first) >= SCENES.index(second) for first, second in inner)


@pytest.mark.parametrize(
    "line",
    [
        "import dac.cli.main",
        "from dac import cli",
        "def f():\n    from dac.cli.main import app",
        "if TYPE_CHECKING:\n    from dac.workflow.plan import estimate",
    ],
)
def test_an_upward_import_is_found(tmp_path: Path, line: str) -> None:
    for name in ("cli/main", "workflow/plan", "scenes/scene"):
        file = (tmp_path / "dac" / name).with_suffix(".py")
        file.parent.mkdir(parents=True)
        file.touch()
    assert upward(tmp_path) == []
    (tmp_path / "dac" / "scenes" / "scene.py").write_text(line)
    assert len(upward(tmp_path)) == 1


@pytest.mark.parametrize("folder", ["bench", "docs", "examples", "workflow_scripts"])
def test_what_other_folders_import_is_there(folder: str) -> None:
    """These are in nobody's types, and some run on other machines alone."""
    for file in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dac"):
                module = importlib.import_module(node.module or "")
                for alias in node.names:
                    there = hasattr(module, alias.name)
                    path = ROOT.joinpath(*module.__name__.split("."), f"{alias.name}.py")
                    assert there or path.is_file(), f"{file.name}: {module.__name__}.{alias.name}"
