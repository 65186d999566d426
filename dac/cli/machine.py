"""Checks of the machine: Python, the device, compilers and kernels, disk and memory."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from dac.cli.checks import Result, error_text
from dac.cli.packages import metadata
from dac.errors import UserError
from dac.storage.artifacts import existing_folder, free_space
from dac.storage.project import PROJECT
from dac.version import __version__

# The demo takes 0.06 GB; a scene of some hundred photos at the paper's size some GB.
LEAST_DISK, GOOD_DISK = 1e9, 10e9
# A small training takes 0.5 GB beside Snakemake's own 0.3; structure from motion some GB.
LEAST_MEMORY, GOOD_MEMORY = 1e9, 4e9
_INSTALL_COMPILER = "sudo apt install g++ (or name a compiler: export CXX=clang++)"


def check_python() -> list[Result]:
    """The version, and that the command line is the project's own.

    Raises:
        UserError: the package was not installed.
    """
    from packaging.specifiers import SpecifierSet

    needed, version = metadata()["Requires-Python"], platform.python_version()
    if SpecifierSet(needed).contains(version, prereleases=True):
        python = Result("ok", "Python", f"{version} ({sys.executable})")
    else:
        what = f"{version}, but {needed} is needed"
        python = Result("fail", "Python", what, "rm -rf .venv && make demo PYTHON=python3.12")
    return [python, _dac()]


def _dac() -> Result:
    here = Path.cwd()
    if (here / "Snakefile").is_file() and not PROJECT.samefile(here):
        what = f"{__version__} in {PROJECT}, but the workflow of {here} uses its own"
        return Result("warn", "dac", what, f"cd {PROJECT}")
    return Result("ok", "dac", f"{__version__} in {PROJECT}")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def check_device() -> list[Result]:
    """The GPU, or the CPU's cores, and what compiles CUDA where there is a GPU."""
    import torch

    threads = torch.get_num_threads()
    if not torch.cuda.is_available():
        what = f"CPU, {cores()} cores, {threads} threads of torch; no CUDA"
        return [Result("ok", "device", what)]
    from dac.ops.build import find_nvcc

    free, total = torch.cuda.mem_get_info()
    what = f"{torch.cuda.get_device_name()}, {total / 1e9:.0f} GB, {free / 1e9:.0f} GB of them free"
    device = Result("ok", "device", what)
    if free < LEAST_MEMORY:
        device = Result("warn", "device", what, "nvidia-smi shows who uses it")
    nvcc = find_nvcc()
    if nvcc is not None:
        return [device, Result("ok", "nvcc", nvcc.version)]
    what = "no nvcc answers: without it, and without kernels compiled elsewhere, plain torch runs"
    return [
        device,
        Result("warn", "nvcc", what, "export CUDA_HOME=/usr/local/cuda (or install it)"),
    ]


def check_compiler() -> list[Result]:
    """The C++ compiler of the native kernels."""
    from dac.ops.build import find_built, find_compiler

    compiler, why = find_compiler()
    if compiler is not None:
        return [Result("ok", "C++ compiler", f"{compiler.version} ({' '.join(compiler.command)})")]
    if find_built() is not None:
        return [Result("ok", "C++ compiler", f"{why}; none is needed, the kernels are compiled")]
    return [Result("warn", "C++ compiler", why, _INSTALL_COMPILER)]


def check_kernels(*, build: bool) -> list[Result]:
    """Whether the native kernels are compiled, or can be; `build` compiles and loads them."""
    import torch

    from dac.ops.backend import library
    from dac.ops.build import find_built, find_compiler

    name = "native kernels"
    if os.environ.get("DAC_BACKEND") == "reference":
        what = "not used: DAC_BACKEND=reference asks for plain torch"
        return [Result("warn", name, what, "unset DAC_BACKEND")]
    built = find_built(gpu=torch.cuda.is_available())
    if build:
        try:
            return [Result("ok", name, f"compiled, and they load: {library()}")]
        except UserError as error:
            fix = "export DAC_BACKEND=reference (plain torch, several times slower)"
            return [Result("fail" if find_compiler()[0] else "warn", name, error_text(error), fix)]
    if built is not None:
        return [Result("ok", name, f"compiled: {built}")]
    if find_compiler()[0] is None:
        what = "not compiled, and no compiler: plain torch runs, several times slower"
        return [Result("warn", name, what, _INSTALL_COMPILER)]
    what = "not compiled yet; the first training does it (half a minute), dac doctor --build now"
    return [Result("ok", name, what)]


def check_disk(results: Path) -> list[Result]:
    """Free space, and whether the results folder can be written."""
    name, folder = "disk", existing_folder(results)
    fix = f"choose another folder: a line `results: /scratch/{results.name}` in your configuration"
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return [Result("fail", name, f"no permission to write in {folder}", fix)]
    free = free_space(results)
    what = f"{free / 1e9:.3g} GB free for {results}"
    if free < LEAST_DISK:
        return [Result("fail", name, f"{what}, at least {LEAST_DISK / 1e9:g} are needed", fix)]
    if free < GOOD_DISK:
        return [Result("warn", name, f"{what}: enough for small scenes", fix)]
    return [Result("ok", name, what)]


def check_memory() -> list[Result]:
    """Memory that is free for programs."""
    try:
        import psutil  # type: ignore[import-untyped]  # comes with Snakemake
    except ModuleNotFoundError:
        fix = f"{sys.executable} -m pip install psutil"
        return [Result("warn", "memory", "can't be told without psutil", fix)]

    memory = psutil.virtual_memory()
    what = f"{memory.available / 1e9:.3g} of {memory.total / 1e9:.3g} GB are free"
    if memory.available < LEAST_MEMORY:
        fix = "end other programs; less is taken with smaller train.rays and scene.downscale"
        return [Result("fail", "memory", what, fix)]
    if memory.available < GOOD_MEMORY:
        fix = "snakemake --cores 1 runs one training at a time"
        return [Result("warn", "memory", f"{what}: enough for one small training", fix)]
    return [Result("ok", "memory", what)]
