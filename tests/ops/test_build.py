"""The native library: what names it, who compiles it, and what a failure leaves."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dac.errors import UserError
from dac.ops import build
from dac.process.signals import listening

compiler = pytest.mark.skipif(build.find_compiler()[0] is None, reason="no C++ compiler")

UNIT = 'extern "C" int one() { return 1; }\n'


@pytest.fixture
def csrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tiny sources in place of the real ones, and an empty folder for libraries."""
    root = tmp_path / "csrc"
    for name, text in {
        "bind.cpp": '#include "common/two.h"\nextern "C" int two() { return kTwo; }\n',
        "common/two.h": "constexpr int kTwo = 2;\n",
        "cpu/one.cpp": UNIT,
        "cuda/three.cu": "__global__ void three() {}\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(build, "CSRC", root)
    monkeypatch.setenv("DAC_BUILD_DIR", str(tmp_path / "libraries"))
    return root


def fake_compiler(folder: Path, says: str) -> str:
    program = folder / "c++"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return str(program)


@compiler
def test_compiles_once_and_says_so(csrc: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = build.make_recipe(cuda=False)
    library = build.build(recipe)
    assert library == build.library_path(recipe) and library.read_bytes()[1:4] == b"ELF"
    assert [r.levelno for r in caplog.records if "compiling" in r.message] == [logging.WARNING]
    assert build.describe(library)["sources"] == build.sources_digest(cuda=False)
    made = library.stat().st_mtime_ns
    caplog.clear()
    assert build.build(recipe) == library
    assert library.stat().st_mtime_ns == made and not caplog.records
    build.build(recipe, force=True)
    assert library.stat().st_mtime_ns > made
    assert {file.name for file in library.parent.iterdir()} == {"dac.so", "build.json", "lock"}


@compiler
@pytest.mark.parametrize("name", ["bind.cpp", "common/two.h", "cpu/one.cpp"])
def test_each_file_is_part_of_the_key(csrc: Path, name: str) -> None:
    before = build.make_recipe(cuda=False).key
    with (csrc / name).open("a") as file:
        file.write("// another line\n")
    assert build.make_recipe(cuda=False).key != before


@compiler
def test_what_else_is_part_of_the_key(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = build.make_recipe(cuda=False)
    keys = {recipe.key}
    (csrc / "cuda" / "three.cu").write_text("")
    assert build.make_recipe(cuda=False).key == recipe.key  # not compiled here
    (csrc / "cpu" / "more.cpp").write_text("")
    keys.add(build.make_recipe(cuda=False).key)
    monkeypatch.setattr(build, "_FLAGS", ("-O1",))
    keys.add(build.make_recipe(cuda=False).key)
    other = build.Compiler(recipe.compiler.command, "another version")
    keys.add(build.Recipe(recipe.sources, other, None, ()).key)
    cuda = build.Compiler(("nvcc",), "13")
    keys |= {
        build.Recipe(recipe.sources, other, cuda, archs).key for archs in (("80",), ("80", "90"))
    }
    monkeypatch.setattr(build, "machine", lambda: {"processor": "another"})
    keys.add(build.make_recipe(cuda=False).key)
    assert len(keys) == 7


@compiler
def test_a_failure_is_one_line_and_leaves_no_library(csrc: Path) -> None:
    (csrc / "cpu" / "one.cpp").write_text('extern "C" int one() { return nothing; }\n')
    recipe = build.make_recipe(cuda=False)
    with pytest.raises(UserError, match=r"nothing.*failed\.log.*DAC_BACKEND=reference") as caught:
        build.build(recipe)
    assert "\n" not in str(caught.value)
    left = build.library_path(recipe).parent
    assert {file.name for file in left.iterdir()} == {"failed.log", "lock"}
    assert "nothing" in (left / "failed.log").read_text()
    assert build.find_built() is None


@compiler
def test_a_missing_definition_is_found_by_the_linker(csrc: Path) -> None:
    (csrc / "cpu" / "one.cpp").write_text('extern "C" int gone(); int one() { return gone(); }\n')
    with pytest.raises(UserError, match="gone"):
        build.build(build.make_recipe(cuda=False))


@compiler
def test_one_of_several_compiles(
    csrc: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def slow(*args: Any) -> Path:
        calls.append(args)
        time.sleep(0.3)
        return compile_(*args)

    compile_ = build._compile
    monkeypatch.setattr(build, "_compile", slow)
    recipe = build.make_recipe(cuda=False)
    # A lock belongs to an open file, so threads exclude each other as processes do.
    threads = [threading.Thread(target=build.build, args=(recipe,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and build.library_path(recipe).is_file()
    assert sum("waiting" in record.message for record in caplog.records) == 2


@compiler
def test_a_signal_ends_the_compilers_too(
    csrc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    slow = ["sh", "-c", f"sleep 60 & echo $! >> {started}; wait"]
    monkeypatch.setattr(build, "_unit_command", lambda recipe, source: slow)

    def tell() -> None:
        while not started.is_file() or not started.read_text().endswith("\n"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    teller = threading.Thread(target=tell)
    teller.start()
    recipe = build.make_recipe(cuda=False)
    began = time.monotonic()
    with pytest.raises(SystemExit), listening():
        build.build(recipe)
    teller.join()
    assert time.monotonic() - began < 20
    for number in started.read_text().split():
        state = Path(f"/proc/{number}/stat")
        assert not state.is_file() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert {file.name for file in build.library_path(recipe).parent.iterdir()} == {"lock"}


def test_without_a_compiler(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert build.find_compiler() == (None, "no C++ compiler answers (tried no-such-compiler -O2)")
    with pytest.raises(UserError, match=r"no C\+\+ compiler answers.*DAC_BACKEND=reference"):
        build.make_recipe()


@pytest.mark.parametrize(
    ("says", "fits"),
    [
        ("g++ (Debian 9.4.0-1) 9.4.0", False),
        ("g++ (GCC) 13.2.0", True),
        ("Debian clang version 13.0.1", False),
        ("Apple clang version 16.0.0 (clang-1600.0.26.3)", True),
    ],
)
def test_an_old_compiler_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, fits: bool
) -> None:
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, says))
    found, why = build.find_compiler()
    if fits:
        assert found is not None and found.version == says
    else:
        assert found is None and "too old" in why and says in why


@compiler
def test_a_library_made_ahead_serves_a_machine_without_compiler(
    csrc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build.find_built() is None
    library = build.build(build.make_recipe(cuda=False))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert build.find_built() == library
    (csrc / "common" / "two.h").write_text("constexpr int kTwo = 3;\n")
    assert build.find_built() is None


@compiler
def test_a_library_made_ahead_serves_a_gpu(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build.build(build.make_recipe(cuda=False))
    monkeypatch.setattr(build, "_unit_command", lambda recipe, source: ["true"])
    monkeypatch.setattr(
        build, "_link_command", lambda recipe, objects, library: ["touch", str(library)]
    )
    nvcc = build.Compiler(("nvcc",), "13")
    recipe = build.make_recipe(cuda=False)
    recipe = build.Recipe(build.sources(cuda=True), recipe.compiler, nvcc, ("80", "90a"))
    ahead = build.build(recipe)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for capability, found in (((8, 6), ahead), ((9, 0), ahead), ((12, 0), plain)):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda c=capability: c)
        monkeypatch.setattr(build, "find_nvcc", lambda: None)
        assert build.obtain() == found
        if found == ahead:
            monkeypatch.setattr(build, "find_nvcc", lambda: nvcc)
            assert build.obtain() == found


@compiler
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_can_not_be_written(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csrc.chmod(0o500)
    monkeypatch.setenv("DAC_BUILD_DIR", str(csrc / "libraries"))
    with pytest.raises(UserError, match="no permission"):
        build.build(build.make_recipe(cuda=False))


def test_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DAC_BUILD_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.folder() == tmp_path / "dac"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert build.folder() == Path.home() / ".cache" / "dac"


def test_cuda_is_asked_for_by_name(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert csrc / "cuda" / "three.cu" not in build.sources(cuda=False)
    assert csrc / "cuda" / "three.cu" in build.sources(cuda=True)
    monkeypatch.setenv("DAC_CUDA_ARCHS", "80, 90a;120")
    assert build.cuda_archs() == ("80", "90a", "120")
    monkeypatch.setattr(build, "find_nvcc", lambda: None)
    if build.find_compiler()[0] is not None:
        with pytest.raises(UserError, match="no nvcc"):
            build.make_recipe(cuda=True)


@compiler
@pytest.mark.skipif(build.find_nvcc() is None, reason="no nvcc")
def test_nvcc_links_a_library(csrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAC_CUDA_ARCHS", "80")
    library = build.build(build.make_recipe(cuda=True))
    assert build.describe(library)["archs"] == "80" and b"three" in library.read_bytes()


def test_the_flags_keep_nan() -> None:
    assert not any("fast-math" in flag for flag in (*build._FLAGS, *build._CUDA_FLAGS))
