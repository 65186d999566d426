"""What the CUDA kernels can be asked without a GPU.

They compile on all architectures without a warning, spill nothing, and hold the instructions that
their speed rests on.

Where is nvcc: `dac.ops.build.find_nvcc`. SASS is read by cuobjdump, of CUDA's toolkit or of the
package nvidia-cuda-cuobjdump (with nvidia-cuda-nvdisasm beside it).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from dac.ops.build import CSRC, TORCH_ABI, find_nvcc

NVCC = find_nvcc()
KERNELS = ("planes", "density", "field", "layers", "rays", "losses", "adam")  # with kernels

pytestmark = [
    pytest.mark.slow,  # some minutes of compiling
    pytest.mark.skipif(NVCC is None, reason="needs nvcc, of CUDA's toolkit"),
]


def nvcc(*arguments: str) -> str:
    assert NVCC is not None
    done = subprocess.run([*NVCC.command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def archs() -> tuple[str, ...]:
    """The oldest that is supported, Hopper with its own instructions, the toolkit's newest."""
    newest = re.findall(r"sm_(\d+)$", nvcc("--list-gpu-code"), re.MULTILINE)[-1]
    return ("80", "90a", newest)


class Kernel(NamedTuple):
    """What ptxas says of one kernel on one architecture."""

    name: str
    arch: str
    stack: int
    spilled: int
    registers: int


class Compiled(NamedTuple):
    folder: Path
    logs: dict[str, str]

    def kernels(self) -> list[Kernel]:
        """All of them on all architectures."""
        pattern = re.compile(
            r"Compiling entry function '(\w+)' for 'sm_(\w+)'.*?"
            r"(\d+) bytes stack frame, (\d+) bytes spill stores.*?Used (\d+) registers",
            re.DOTALL,
        )
        found = [part for log in self.logs.values() for part in pattern.findall(log)]
        return [Kernel(name, arch, *map(int, numbers)) for name, arch, *numbers in found]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Every file once, for all architectures, two at a time."""
    folder = tmp_path_factory.mktemp("gates")
    codes = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs()]
    flags = ["-std=c++20", "-O3", "--expt-relaxed-constexpr", f"-I{CSRC}", f"-I{CSRC / 'common'}"]
    flags += ["-Xcompiler", "-Wall,-Wextra", "-Xptxas", "-v,-warn-spills,-warn-lmem-usage"]
    assert NVCC is not None
    waiting = [*KERNELS, "layered", "steps"]
    running: list[tuple[str, subprocess.Popen[str]]] = []
    logs: dict[str, str] = {}
    while waiting or running:
        if waiting and len(running) < min(2, os.cpu_count() or 1):
            name = waiting.pop(0)
            source, out = str(CSRC / f"cuda/{name}.cu"), str(folder / f"{name}.o")
            command = [*NVCC.command, *flags, *codes, "-c", source, "-o", out]
            pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            running.append((name, subprocess.Popen(command, text=True, **pipe)))  # type: ignore[call-overload]
            continue
        name, process = running.pop(0)
        logs[name], _ = process.communicate()
        assert process.returncode == 0, logs[name]
    return Compiled(folder, logs)


def test_compiles_without_a_warning(compiled: Compiled) -> None:
    for name, log in compiled.logs.items():
        assert not re.findall(r"^.*warning.*$", log, re.MULTILINE | re.IGNORECASE), name
    kernels = compiled.kernels()
    for arch in archs():
        assert len([kernel for kernel in kernels if kernel.arch == arch]) > 40


def test_nothing_spills(compiled: Compiled) -> None:
    assert not [kernel for kernel in compiled.kernels() if kernel.spilled or kernel.stack]


def test_register_counts_leave_room_for_warps(compiled: Compiled) -> None:
    """A block of 256 threads runs with at most 255 registers each; lookups need many warps."""
    for kernel in compiled.kernels():
        lookup = "forward_kernel" in kernel.name or "gather" in kernel.name
        assert kernel.registers <= (128 if lookup else 240), kernel


@pytest.mark.parametrize(
    ("name", "instructions"),
    [
        ("planes", ["red.global.add.v4.f32"]),
        ("density", ["mma.sync.aligned.m16n8k16.row.col.f32.f16", "m16n8k16.row.col.f32.bf16"]),
        ("field", ["mma.sync.aligned.m16n8k16.row.col.f32.f16", "ldmatrix.sync.aligned"]),
    ],
)
def test_ptx(name: str, instructions: list[str], tmp_path: Path) -> None:
    out = tmp_path / "kernels.ptx"
    source = str(CSRC / f"cuda/{name}.cu")
    arch = "-gencode=arch=compute_90a,code=compute_90a"
    nvcc("-std=c++20", "-O3", "--expt-relaxed-constexpr", f"-I{CSRC}", f"-I{CSRC / 'common'}", arch,
         "-ptx", source, "-o", str(out))  # fmt: skip
    text = out.read_text()
    for instruction in instructions:
        assert instruction in text


def test_the_binding_compiles(tmp_path: Path) -> None:
    """Against the stable ABI of the torch that is here, with or without CUDA."""
    include = ["-isystem", str(Path(torch.__file__).parent / "include")]
    flags = [
        "-std=c++20",
        f"-I{CSRC}",
        f"-I{CSRC / 'common'}",
        f"-DTORCH_TARGET_VERSION={TORCH_ABI}",
    ]
    flags += [
        "-DTORCH_STABLE_ONLY",
        "-DUSE_CUDA",
        "-DDAC_CUDA",
        "-gencode=arch=compute_80,code=sm_80",
    ]
    log = nvcc(*flags, *include, "-c", str(CSRC / "cuda/bind.cu"), "-o", str(tmp_path / "out.o"))
    assert "warning" not in log


def cuobjdump() -> tuple[str, str] | None:
    """The program, and a search path on which it finds nvdisasm."""
    assert NVCC is not None
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    folders.append(Path(NVCC.command[0]).parent)
    folders += [
        Path(site) / "nvidia" / cuda / "bin" for site in sys.path for cuda in ("cu13", "cu12")
    ]
    for folder in folders:
        if (folder / "cuobjdump").is_file() and (folder / "nvdisasm").is_file():
            return shutil.which("cuobjdump", path=str(folder)) or "", str(folder)
    return None


@pytest.mark.parametrize(
    ("name", "arch", "instruction"),
    [
        ("planes", "90a", r"REDG\.E\.ADD\.F32x4"),
        ("planes", "90a", r"LDG\.E\.64\.CONSTANT"),
        ("density", "80", r"HMMA\.16816\.F32"),
        ("density", "90a", r"LDG\.E\.128\.CONSTANT"),
        ("field", "80", r"HMMA\.16816\.F32\.BF16"),
        ("field", "90a", r"HMMA\.16816\.F32 "),
        ("field", "90a", r"LDSM\.16\.MT88\.4"),
        ("field", "90a", r"LDG\.E\.128\.CONSTANT"),
        ("adam", "90a", r"STG\.E\.128"),
        # Above the largest float, or no number at all.
        ("adam", "90a", r"FSETP\.GTU\.AND P\d, PT, R\d+, 3\.402823"),
    ],
)
def test_sass(compiled: Compiled, name: str, arch: str, instruction: str) -> None:
    found = cuobjdump()
    if found is None:
        pytest.skip("needs cuobjdump and nvdisasm, e.g. pip install nvidia-cuda-cuobjdump "
                    "nvidia-cuda-nvdisasm; the PTX is read without them")  # fmt: skip
    program, folder = found
    environment = {**os.environ, "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")])}
    command = [program, "--dump-sass", "-arch", f"sm_{arch}", str(compiled.folder / f"{name}.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert re.search(instruction, done.stdout)
    # Local memory, where registers go that are indexed at run time.
    assert not re.search(r"\b(LDL|STL)\b", done.stdout)
