"""What all faults are tried on, and the figures that are printed at the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attempts import Server, Servers, end_groups
from toy_jobs import Toys

HERE = Path(__file__).resolve().parent
FIGURES = HERE.parents[1] / "results" / "faults.json"
LONG = bool(os.environ.get("LONG"))
WORKERS = 2

_figures: dict[str, dict[str, Any]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("faults")


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether the long form was asked for (`make test-faults LONG=1`)."""
    return LONG


@pytest.fixture(scope="session")
def figure() -> Callable[[str, str, Any], None]:
    """A function that adds a line to the table: what was tried, what is told, how much."""

    def add(tried: str, told: str, value: Any) -> None:
        value = round(value, 2) if isinstance(value, float) else value
        _figures.setdefault(tried, {})[told] = value

    return add


@pytest.fixture(scope="session")
def disk_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`disk.c`, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the disk can't be made to fail")
    library = tmp_path_factory.mktemp("disk") / "disk.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, str(HERE / "disk.c"), "-o", str(library), "-ldl"], check=True)
    return library


@pytest.fixture(scope="session")
def servers(disk_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """As many servers as there are workers."""
    folder = tmp_path_factory.mktemp("servers")
    lent = Servers([Server(folder / str(i), disk_library) for i in range(WORKERS)])
    yield lent
    for server in lent.all:
        server.close()


@pytest.fixture(scope="session")
def toys(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Toys:
    """Inputs for all toy jobs."""
    made = Toys(tmp_path_factory.mktemp("toys"))
    with servers.one() as server:
        made.train_inputs(server.attempt)
    return made


@pytest.fixture(scope="session")
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that each keep one server busy."""
    with ThreadPoolExecutor(WORKERS) as pool:
        yield pool


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    """Whatever a test started ends with it."""
    yield
    end_groups()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of the processes that test side by side
        session.config.workeroutput["figures"] = _figures


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _figures.update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _figures:
        return
    FIGURES.parent.mkdir(exist_ok=True)
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps(known | _figures, indent=1) + "\n")
    terminalreporter.section("figures")
    for tried, told in _figures.items():
        for name, value in told.items():
            terminalreporter.line(f"{tried:<28} {name:<52} {value:>10}")
    terminalreporter.line(f"also in {FIGURES}")
