"""The choice of a backend: made once, said once, never in silence."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dac.errors import UserError
from dac.ops import backend, build

compiler = pytest.mark.skipif(build.find_compiler()[0] is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def _undecided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DAC_BACKEND", raising=False)
    backend._decide.cache_clear()
    yield
    backend._decide.cache_clear()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("DAC_BUILD_DIR", str(tmp_path))
    monkeypatch.setattr(backend, "library", backend.library.__wrapped__)  # as if never loaded


def test_without_a_compiler_one_line_says_what_it_costs(
    no_compiler: None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert backend.backend() == "reference"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "\n" not in record.message
    assert "no C++ compiler" in record.message and "times as long" in record.message


def test_native_without_a_compiler_is_an_error(
    no_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAC_BACKEND", "native")
    with pytest.raises(UserError, match=r"no C\+\+ compiler"):
        backend.backend()
    with pytest.raises(UserError, match=r"no C\+\+ compiler"), backend.using("native"):
        pass


def test_an_unknown_backend_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAC_BACKEND", "cuda")
    with pytest.raises(UserError, match="no backend 'cuda'; choose reference or native"):
        backend.backend()


def test_reference_is_chosen_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dac")
    monkeypatch.setenv("DAC_BACKEND", "reference")
    for _ in range(3):
        assert backend.backend() == "reference"
    assert [record.message for record in caplog.records] == [
        "reference operations on cpu: DAC_BACKEND asks for them"
    ]
    record = backend.backend_record()
    assert record == {"backend": {"cpu": "reference"}, "threads": torch.get_num_threads()} or (
        torch.cuda.is_available()
    )


@compiler
def test_native_is_the_choice_where_it_can_be(caplog: pytest.LogCaptureFixture) -> None:
    backend.library()
    caplog.clear()  # of what compiling said
    caplog.set_level(logging.INFO, logger="dac")
    assert backend.backend() == backend.backend() == "native"
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        "native operations on cpu"
    ]
    record = backend.backend_record()
    assert record["backend"]["cpu"] == "native" and record["vector_lanes"] in (8, 16)
    assert record["library"] == backend.library().parent.name and record["compiler"]


@compiler
def test_using_is_for_a_block() -> None:
    with backend.using("reference"):
        with backend.using("native"):
            assert backend.backend() == "native"
        assert backend.backend() == "reference"


def test_importing_compiles_and_loads_nothing(tmp_path: Path) -> None:
    code = (
        "from dac.fields import model; import torch; print(hasattr(torch.ops.dac, 'render_rays'))"
    )
    environment = {"DAC_BUILD_DIR": str(tmp_path / "libraries"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False" and not list(tmp_path.iterdir())
