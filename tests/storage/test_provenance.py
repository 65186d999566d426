"""The import closure of a stage, and a digest that sees behaviour only."""

from __future__ import annotations

from pathlib import Path

import pytest

from dac.storage.provenance import PACKAGE, closure, source_digest


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package `pkg` with a cycle, lazy, relative and type-checking imports."""
    files = {
        "__init__.py": '__version__ = "1"\n',
        "a.py": "from pkg import b\n",
        "b.py": "import pkg.a\n\ndef late():\n    from .sub.c import value\n    return value\n",
        "sub/__init__.py": "",
        "sub/c.py": '"""Text."""\nfrom .. import d\nvalue = 1  # a comment\n',
        "d.py": "import numpy\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from pkg import typed\nelse:\n    import pkg.other\n",
        "typed.py": "",
        "other.py": "",
        "settings.py": "from pkg import alone\n",
        "alone.py": "import pkg.settings\n",
    }
    root = tmp_path / "pkg"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def names(package: Path, *modules: str) -> set[str]:
    return {file.relative_to(package).as_posix() for file in closure(*modules, package=package)}


def test_follows_cycles_and_imports_inside_functions(package: Path) -> None:
    expected = {"__init__.py", "a.py", "b.py", "sub/__init__.py", "sub/c.py", "d.py", "other.py"}
    assert names(package, "pkg.a") == expected
    assert names(package, "pkg.b") == expected


def test_leaves_out_settings_and_what_only_they_import(package: Path) -> None:
    assert names(package, "pkg.alone") == {"__init__.py", "alone.py"}


def test_several_modules_join(package: Path) -> None:
    both = names(package, "pkg.alone", "pkg.typed")
    assert both == names(package, "pkg.alone") | names(package, "pkg.typed")


def test_a_missing_module_is_an_error(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pkg\.nothing"):
        closure("pkg.nothing", package=package)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("sub/c.py", '"""Text."""', '"""Other words."""'),
        ("sub/c.py", "# a comment", "# another"),
        ("sub/c.py", "value = 1", "value = (1)\n\n"),
        ("b.py", "def late():\n", 'def late():\n    """What it does."""\n'),
        ("__init__.py", '"1"', '"2"'),
        ("settings.py", "alone", "a"),
        ("typed.py", "", "x = 1\n"),
    ],
)
def test_digest_is_blind_to_what_changes_no_result(
    package: Path, file: str, old: str, new: str
) -> None:
    before = source_digest("pkg.a", package=package)
    path = package / file
    path.write_text(path.read_text().replace(old, new, 1))
    assert source_digest("pkg.a", package=package) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("sub/c.py", "value = 1", "value = 2"),
        ("d.py", "import pkg.other", "import pkg.typed"),
        ("b.py", "return value", "return -value"),
        ("other.py", "", "x = 1\n"),
    ],
)
def test_digest_sees_every_other_change(package: Path, file: str, old: str, new: str) -> None:
    before = source_digest("pkg.a", package=package)
    path = package / file
    path.write_text(path.read_text().replace(old, new, 1))
    assert source_digest("pkg.a", package=package) != before


def test_kernels_belong_to_the_operations_that_run_them(package: Path) -> None:
    (package / "ops").mkdir()
    (package / "ops" / "__init__.py").write_text("")
    kernel = package / "csrc" / "cpu" / "kernel.cpp"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("int x = 1;\n")
    before = source_digest("pkg.a", package=package)
    with_ops = source_digest("pkg.ops", package=package)
    assert "csrc/cpu/kernel.cpp" in names(package, "pkg.ops")
    assert "csrc/cpu/kernel.cpp" not in names(package, "pkg.a")
    kernel.write_text("int x = 2;\n")
    assert source_digest("pkg.a", package=package) == before
    assert source_digest("pkg.ops", package=package) != with_ops


def test_training_depends_on_the_kernels_and_their_flags() -> None:
    found = {file.as_posix() for file in closure("dac.training.expert")}
    for name in ("dac/csrc/bind.cpp", "dac/csrc/common/stages.h", "dac/ops/build.py"):
        assert any(file.endswith(name) for file in found)


def test_tables_depend_on_their_templates() -> None:
    found = {file.as_posix() for file in closure("dac.report.tables.main")}
    assert {file.name for file in PACKAGE.glob("report/assets/*")} == {
        "table.html",
        "table_page.html",
    }
    for name in ("table.html", "table_page.html"):
        assert any(file.endswith(f"dac/report/assets/{name}") for file in found)
    assert not any(file.suffix == ".html" for file in closure("dac.report.figures.losses"))


def test_experts_do_not_depend_on_what_follows_them() -> None:
    modules = {file.as_posix() for file in closure("dac.training.expert")}
    assert any(name.endswith("dac/fields/model.py") for name in modules)
    assert not any("/dac/conquer/" in name or "/dac/report/" in name for name in modules)
    assert not any(name.endswith("dac/settings.py") for name in modules)


def test_distillation_depends_on_its_losses_and_on_the_loop() -> None:
    names = {file.name for file in closure("dac.conquer.distill")}
    assert {"distill.py", "losses.py", "routing.py", "loop.py", "model.py"} <= names


def test_evaluation_does_not_depend_on_distillation() -> None:
    names = {file.name for file in closure("dac.evaluation.evaluate")}
    assert "metrics.py" in names
    assert "distill.py" not in names
