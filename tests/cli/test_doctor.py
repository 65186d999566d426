"""`dac doctor` on machines that lack something: simulated, and with the lack real in a process."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from project import ROOT

from dac.cli import machine, packages
from dac.cli.checks import Result, results_of
from dac.cli.doctor import check_all
from dac.cli.packages import check_packages, faults_of
from dac.cli.slurm import check_slurm
from dac.ops import backend

Stub = Callable[..., None]


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """All packages work, without the seconds that their imports take; no kernels are loaded yet."""
    monkeypatch.setattr(backend, "library", cache(backend.library.__wrapped__))
    monkeypatch.setattr(packages, "faults_of", lambda modules: dict.fromkeys(modules, ""))
    monkeypatch.chdir(ROOT)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Puts modules of a text before all others, in this process's children."""

    def write(**modules: str) -> None:
        folder = tmp_path / "stubs"
        folder.mkdir(exist_ok=True)
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT}")

    return write


def programs(folder: Path, **texts: str) -> None:
    """Executables of these names, each a shell script."""
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def named(results: list[Result], name: str) -> Result:
    (result,) = [result for result in results if result.name == name]
    return result


def everything() -> list[Result]:
    return check_all(Path("results"), on_slurm=False, build=False)


def test_every_line_that_is_not_green_has_a_fix(healthy: None, dac: Callable[..., str]) -> None:
    results = everything()
    assert all(bool(result.fix) == (result.mark != "ok") for result in results)
    names = [result.name for result in results]
    assert names[:3] == ["Python", "dac", "torch"]
    assert {"pycolmap", "snakemake", "device", "C++ compiler", "disk", "memory", "Slurm"} < {*names}
    assert named(results, "Python").what.startswith(platform.python_version())
    assert named(results, "torch").what.startswith("2.")


def test_a_full_disk(
    healthy: None, dac: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "free_space", lambda path: 10**8)
    said = dac("doctor", status=1)
    assert (
        "fail disk: 0.1 GB free for results, at least 1 are needed\n     -> choose another" in said
    )
    monkeypatch.setattr(machine, "free_space", lambda path: 5 * 10**9)
    assert "warn disk: 5 GB free" in dac("doctor")
    monkeypatch.setattr(machine, "free_space", lambda path: 10**12)
    assert "ok   disk: 1e+03 GB free" in dac("doctor")


def test_a_results_folder_that_can_t_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (result,) = machine.check_disk(tmp_path / "file" / "results")
    assert (result.mark, result.name) == ("fail", "disk") and "no permission" in result.what


def test_no_compiler(
    healthy: None, dac: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Plain torch runs without one, so it is no red line."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DAC_BUILD_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("CXX", raising=False)
    said = dac("doctor")
    assert "warn C++ compiler: no C++ compiler answers (tried g++, clang++, c++)\n     -> " in said
    assert "warn native kernels: not compiled, and no compiler: plain torch runs" in said
    assert "native kernels: native kernels: no C++ compiler" in dac("doctor", "--build")


def test_a_compiler_that_can_t_compile_the_kernels_is_red(
    healthy: None, dac: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Then trainings would stop, too."""
    programs(
        tmp_path,
        broken='[ "$1" = --version ] && echo "g++ 13.2.0" || { echo "error: no"; exit 1; }',
    )
    monkeypatch.setenv("CXX", str(tmp_path / "broken"))
    monkeypatch.setenv("DAC_BUILD_DIR", str(tmp_path / "none"))
    assert "ok   native kernels: not compiled yet" in dac("doctor")
    said = dac("doctor", "--build", status=1)
    assert "fail native kernels: native kernels: don't compile" in said
    assert "     -> export DAC_BACKEND=reference" in said


def test_no_pycolmap(
    healthy: None, dac: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = packages.importlib.metadata.version

    def version(name: str) -> str:
        if name in ("pycolmap", "viser"):
            raise packages.importlib.metadata.PackageNotFoundError
        return found(name)

    monkeypatch.setattr(packages.importlib.metadata, "version", version)
    gone = {"pycolmap": "ModuleNotFoundError: ...", "viser": "ModuleNotFoundError: ..."}
    monkeypatch.setattr(packages, "faults_of", lambda names: dict.fromkeys(names, "") | gone)
    said = dac("doctor", status=1)
    assert "fail pycolmap: is not installed\n" in said
    assert f"     -> {sys.executable} -m pip install -c " in said and "'pycolmap<4.3,>=4.2'" in said
    assert "warn viser: is not installed\n" in said


def test_a_version_that_won_t_do(healthy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.importlib.metadata, "version", lambda name: "4.1.1")
    results = check_packages(slurm=False)
    assert named(results, "pycolmap").what == "4.1.1, but <4.3,>=4.2 is needed"
    assert named(results, "torch").mark == "ok" and named(results, "snakemake").mark == "fail"


def test_imports_that_fail_in_every_way(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them hides the packages behind it."""
    stub(
        raises="raise ImportError('libcudart.so.13: cannot open\\nshared object')",
        leaves="raise SystemExit(3)",
        ends="import os; os._exit(4)",
        dies="import os, signal; os.kill(os.getpid(), signal.SIGILL)",
        talks="print('hello'); print('raises works')",
        works="",
    )
    names = ["raises", "leaves", "ends", "dies", "talks", "works"]
    assert faults_of(names) == {
        "raises": "ImportError: libcudart.so.13: cannot open shared object",
        "leaves": "SystemExit: 3",
        "ends": "its import ends the process (status 4)",
        "dies": "its import kills the process (signal 4)",
        "talks": "",
        "works": "",
    }
    stub(hangs="import time; time.sleep(60)")
    monkeypatch.setattr(packages, "SECONDS", 2)
    assert faults_of(["hangs", "works"]) == {"hangs": "its import hangs", "works": ""}


@pytest.mark.parametrize("error", [RuntimeError("a\nb"), SystemExit(2), MemoryError()])
def test_a_check_that_breaks_is_a_line(error: BaseException) -> None:
    def check() -> list[Result]:
        raise error

    (result,) = results_of("thing", check)
    assert (result.mark, result.name) == ("warn", "thing") and result.fix
    assert type(error).__name__ in result.what and "\n" not in result.what


CLUSTER = "cpu*|(null)\nlong|(null)\nbig|gpu:a100:4(S:0-1),lscratch:9\nold|gpu:2\nnew|gpu:4090:1"
PLAIN: dict[str, Any] = {"default-resources": {}, "set-resources": {"expert": {"gpu": 1}}}


def profile_of(common: Mapping[str, Any], gpu: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"default-resources": common, "set-resources": {"expert": {"gpu": 1, **gpu}}, **more}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Result]]:
    """`cluster(profile, sinfo, ...)`: what is found on a cluster whose commands say this."""

    def check(
        profile: object, sinfo: str = f"echo '{CLUSTER}'", sacct: str = "exit 0"
    ) -> list[Result]:
        programs(tmp_path / "bin", sbatch="", sinfo=sinfo, sacct=sacct)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "profiles/slurm").mkdir(parents=True, exist_ok=True)
        text = profile if isinstance(profile, str) else json.dumps(profile)
        (tmp_path / "profiles/slurm/profile.v9+.yaml").write_text(text)
        return check_slurm(wanted=True)

    return check


@pytest.mark.parametrize(
    ("profile", "fault", "fix"),
    [
        (PLAIN, "partition cpu has no GPU", "slurm_partition: big or old or new beside gpu: 1"),
        (profile_of({}, {"slurm_partition": "big"}), "", ""),
        (profile_of({"slurm_partition": "'old'"}, {}), "", ""),
        (profile_of({}, {"slurm_partition": "cpu,big"}), "", ""),
        (profile_of({}, {"slurm_partition": "big if attempt > 1 else new"}), "", ""),
        (profile_of({}, {"slurm_partition": "gpus"}), "there is no partition gpus", "one of cpu,"),
        (profile_of({"slurm_partition": "x"}, {"slurm_partition": "big"}), "no partition x", ""),
        (profile_of({}, {"slurm_partition": "new", "gpu_model": "'4090'"}), "", ""),
        (
            profile_of({}, {"slurm_partition": "big", "gpu_model": "h100"}),
            "partition big has no GPU of type h100",
            "write gpu_model: a100",
        ),
        (
            profile_of({}, {"slurm_partition": "old", "gpu_model": "h100"}),
            "partition old has no GPU of type h100",
            "take gpu_model out",
        ),
        ("default-resources: [", "expected the node content", "mend profiles/slurm"),
        ("- a list", "object has no attribute", "mend profiles/slurm"),
    ],
)
def test_a_profile_fits_its_cluster_or_not(
    cluster: Callable[..., list[Result]], profile: object, fault: str, fix: str
) -> None:
    result = named(cluster(profile), "profile")
    assert result.mark == ("fail" if fault else "ok")
    assert fault in result.what and fix in result.fix


def test_a_cluster_without_default_accounts_or_answer(
    cluster: Callable[..., list[Result]],
) -> None:
    results = cluster(PLAIN, f"echo '{CLUSTER.replace('*', '')}'")
    first, second = [result.what for result in results if result.name == "profile"]
    assert "no slurm_partition for jobs without a GPU, and Slurm has no default" in first
    assert "no slurm_partition for jobs with a GPU" in second
    disabled = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
    result = named(cluster(PLAIN, sacct=disabled), "accounting")
    assert result.mark == "fail" and "accounting storage is disabled" in result.what
    assert "slurm-status-command: squeue" in result.fix
    squeue = PLAIN | {"slurm-status-command": "squeue"}
    assert named(cluster(squeue, sacct=disabled), "accounting").mark == "ok"
    (result,) = cluster(PLAIN, "echo 'first' >&2; echo 'sinfo: fatal: no host' >&2; exit 1")
    assert (result.mark, result.what) == ("fail", "sinfo fails: sinfo: fatal: no host")


def test_no_slurm_matters_only_where_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (unwanted,) = check_slurm(wanted=False)
    (wanted,) = check_slurm(wanted=True)
    assert (unwanted.mark, wanted.mark) == ("ok", "fail")
    assert wanted.what == "no sbatch and no sinfo on the PATH"


def test_the_profile_of_the_project_fits_a_cluster_of_one_partition(
    cluster: Callable[..., list[Result]],
) -> None:
    text = (ROOT / "profiles/slurm/profile.v9+.yaml").read_text()
    results = cluster(text, "echo 'all*|gpu:1'")
    assert [result.mark for result in results] == ["ok", "ok", "ok"]


def run_doctor(environment: Mapping[str, str], *arguments: str) -> tuple[int, list[dict[str, str]]]:
    """Status and lines of the command in a process of its own."""
    command = [sys.executable, "-m", "dac", "doctor", "--json", *arguments]
    known = os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment)
    done = subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_a_torch_that_can_t_be_imported(stub: Stub, tmp_path: Path) -> None:
    stub(torch="raise ImportError('libtorch.so: cannot open shared object file')")
    status, lines = run_doctor({"PYTHONPATH": os.environ["PYTHONPATH"]})
    marks = {line["name"]: line for line in lines}
    assert status == 1
    assert marks["torch"]["mark"] == "fail"
    assert "ImportError: libtorch.so: cannot open shared object file" in marks["torch"]["what"]
    assert "--force-reinstall" in marks["torch"]["fix"]
    assert marks["snakemake"]["mark"] == marks["disk"]["mark"] == "ok"
    for name in ("device", "C++ compiler", "native kernels"):
        assert marks[name]["mark"] == "warn" and "can't be checked" in marks[name]["what"]


@pytest.mark.slow
def test_a_machine_without_compiler_and_with_a_broken_pycolmap(stub: Stub, tmp_path: Path) -> None:
    empty = {"PATH": str(tmp_path), "DAC_BUILD_DIR": str(tmp_path / "none")}
    status, lines = run_doctor(empty)
    marks = {line["name"]: line["mark"] for line in lines}
    assert (status, marks["C++ compiler"], marks["native kernels"]) == (0, "warn", "warn")
    stub(pycolmap="raise ImportError('GLIBC_2.99 not found')")
    status, lines = run_doctor({"PYTHONPATH": os.environ["PYTHONPATH"]})
    (line,) = [line for line in lines if line["mark"] == "fail"]
    assert status == 1 and line["name"] == "pycolmap" and "GLIBC_2.99 not found" in line["what"]
