"""Compile the native kernels: once, on first use, or ahead of time with `python -m dac.ops.build`.

One shared library holds all of `dac/csrc`, written against torch's stable ABI, so that it needs no
Python and outlives a change of torch. It lies in a folder named by a *key*: a hash of everything
that its bytes depend on (sources, flags, compiler, processor, ABI). Compilers are called directly,
one process a file. Nothing is ever half-written: a finished library is renamed into its place.

Environment: CXX the C++ compiler; DAC_BUILD_DIR the folder of the libraries (default: dac in
XDG_CACHE_HOME or ~/.cache); CUDACXX or CUDA_HOME where nvcc is; DAC_CUDA_ARCHS such as `80,90a`
(default: that of the GPU that is there, else `ALL_ARCHS`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from dac.errors import UserError
from dac.process.programs import Programs
from dac.storage.artifacts import explained_disk_errors, read_json, write_json

CSRC = Path(__file__).resolve().parents[1] / "csrc"
TORCH_ABI = "0x020b000000000000"  # 2.11, the oldest torch that the library loads in
ALL_ARCHS = ("80", "90a", "120")
_SUFFIXES = frozenset({".h", ".cpp", ".cu"})
# The first with all of C++20 that the sources use.
OLDEST = {"g++": 11, "clang": 14}
REFERENCE = "or choose plain torch with DAC_BACKEND=reference"
_FLAGS = (
    # No -ffast-math: NaN must survive.
    *("-std=c++20", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-fPIC", "-fvisibility=hidden", "-Wall", "-Wno-psabi", "-Wno-unknown-pragmas"),
    *(f"-DTORCH_TARGET_VERSION={TORCH_ABI}", "-DTORCH_STABLE_ONLY"),
)
_CUDA_FLAGS = (
    *("-std=c++20", "-O3", "--expt-relaxed-constexpr", "-cudart=static"),
    *("-Xcompiler", "-fPIC,-fvisibility=hidden"),
    *(f"-DTORCH_TARGET_VERSION={TORCH_ABI}", "-DTORCH_STABLE_ONLY", "-DUSE_CUDA", "-DDAC_CUDA"),
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compiler:
    """A program that compiles, and what it says about itself.

    Attributes:
        command: the program and its leading arguments.
        version: the first line of `--version`, or nvcc's last.
    """

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class Recipe:
    """What a library is made of. `key` names its folder."""

    sources: tuple[Path, ...]
    compiler: Compiler
    cuda: Compiler | None
    archs: tuple[str, ...]

    def description(self) -> dict[str, str]:
        """All that the library's bytes depend on, in words."""
        return {
            **machine(),
            "sources": sources_digest(cuda=self.cuda is not None),
            "flags": " ".join([*_FLAGS, *_machine_flags()]),
            "compiler": " ".join([*self.compiler.command, "=", self.compiler.version]),
            "cuda": "" if self.cuda is None else " ".join([*_CUDA_FLAGS, self.cuda.version]),
            "archs": " ".join(self.archs),
        }

    @property
    def key(self) -> str:
        """16 hex digits."""
        text = json.dumps(self.description(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def sources(*, cuda: bool) -> tuple[Path, ...]:
    """The files that are compiled; headers are not among them."""
    names = [CSRC / "bind.cpp", *sorted((CSRC / "cpu").glob("*.cpp"))]
    return (*names, *sorted((CSRC / "cuda").glob("*.cu"))) if cuda else tuple(names)


def sources_digest(*, cuda: bool) -> str:
    """A hash of all files that may be compiled or included."""
    digest = hashlib.sha256()
    for file in sorted(CSRC.rglob("*")):
        if file.suffix in _SUFFIXES and (cuda or file.relative_to(CSRC).parts[0] != "cuda"):
            digest.update(f"{file.relative_to(CSRC).as_posix()}\0".encode())
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def machine() -> dict[str, str]:
    """The processor as `-march=native` sees it, the system, and torch's ABI."""
    processor = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
        processor = " ".join(sorted(set(found[1].split()))) if found else processor
    elif sys.platform == "darwin":
        processor = _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or processor
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor,
        "abi": TORCH_ABI,
    }


def _machine_flags() -> list[str]:
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return ["-mcpu=native" if apple else "-march=native"]


def _output(command: Sequence[str]) -> str:
    """What a command prints; empty where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find_compiler() -> tuple[Compiler | None, str]:
    """The C++ compiler, or None and why there is none."""
    asked = os.environ.get("CXX")
    candidates = [asked] if asked else ["g++", "clang++", "c++"]
    for candidate in candidates:
        command = tuple(shlex.split(candidate))
        version = _output([*command, "--version"]).split("\n")[0]
        if not version:
            continue
        number = re.search(r"(\d+)\.\d+", re.sub(r"\(.*?\)", "", version))
        oldest = OLDEST["clang" if "clang" in version else "g++"]
        if number and int(number[1]) < oldest:
            return None, f"the C++ compiler is too old ({version}; {oldest} or newer is needed)"
        return Compiler(command, version), ""
    return None, f"no C++ compiler answers (tried {', '.join(candidates)})"


def find_nvcc() -> Compiler | None:
    """The CUDA compiler, or None."""
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    for candidate in (os.environ.get("CUDACXX"), shutil.which("nvcc"), f"{home}/bin/nvcc"):
        version = _output([candidate, "--version"]) if candidate else ""
        if candidate and version:
            return Compiler((candidate,), version.split("\n")[-1])
    return None


def cuda_archs() -> tuple[str, ...]:
    """The GPU architectures to compile for."""
    if asked := os.environ.get("DAC_CUDA_ARCHS"):
        return tuple(re.split(r"[\s,;]+", asked.strip()))
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        return (f"{major}{minor}" + ("a" if major == 9 else ""),)
    return ALL_ARCHS


def make_recipe(*, cuda: bool | None = None) -> Recipe:
    """What would be built here.

    Args:
        cuda: with the CUDA kernels; None where there is a GPU and nvcc.

    Raises:
        UserError: there is no compiler that can.
    """
    compiler, why = find_compiler()
    if compiler is None:
        raise UserError(
            "native kernels", why, f"install g++ or clang++, or name it in CXX, {REFERENCE}"
        )
    wanted = torch.cuda.is_available() if cuda is None else cuda
    nvcc = find_nvcc() if wanted else None
    if cuda and nvcc is None:
        fix = "install CUDA's toolkit, or say where it is in CUDA_HOME"
        raise UserError("native kernels", "no nvcc answers", fix)
    return Recipe(sources(cuda=nvcc is not None), compiler, nvcc, cuda_archs() if nvcc else ())


def folder() -> Path:
    """Where libraries lie, each in a folder named by its key."""
    if chosen := os.environ.get("DAC_BUILD_DIR"):
        return Path(chosen).expanduser().absolute()
    cached = os.environ.get("XDG_CACHE_HOME")
    return (Path(cached) if cached else Path.home() / ".cache") / "dac"


def library_path(recipe: Recipe) -> Path:
    """Where the recipe's library lies, or will."""
    return folder() / recipe.key / "dac.so"


def find_built(*, gpu: bool = False, like: Mapping[str, str] | None = None) -> Path | None:
    """A library of these sources for this machine, whoever compiled it, or None.

    Args:
        gpu: only one that serves the GPU that is there.
        like: what else its description has to say.
    """
    wanted = {**machine(), **(like or {})}
    for description in sorted(folder().glob("*/build.json")):
        library = description.with_name("dac.so")
        try:
            known = json.loads(description.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        fits = all(known.get(name) == value for name, value in wanted.items())
        fits = fits and known.get("sources") == sources_digest(cuda=bool(known.get("cuda")))
        if fits and library.is_file() and (not gpu or _serves_gpu(known["archs"].split())):
            return library
    return None


def _serves_gpu(archs: Sequence[str]) -> bool:
    """Whether code for one of these runs on the GPU: of its generation, and not of a later one."""
    major, minor = torch.cuda.get_device_capability()
    numbers = [(arch, int(arch.rstrip("af"))) for arch in archs]
    return any(
        number == 10 * major + minor
        or (arch.isdigit() and number // 10 == major and number % 10 <= minor)
        for arch, number in numbers
    )


def obtain() -> Path:
    """The library for this process: one that is there, or else compiled now.

    Raises:
        UserError: there is neither a library nor a compiler, or it doesn't compile.
    """
    gpu = torch.cuda.is_available()
    if find_compiler()[0] is None and (built := find_built(gpu=gpu) or find_built()):
        return built
    recipe = make_recipe()
    if gpu and (recipe.cuda is None or not library_path(recipe).is_file()):
        # Made ahead on a machine without this GPU, or with nvcc, which this one may lack.
        like = recipe.description() if recipe.cuda else {}
        like.pop("archs", None)
        if built := find_built(gpu=True, like=like):
            return built
    return build(recipe)


def describe(library: Path) -> dict[str, str]:
    """What a library was made of: the `Recipe.description` beside it."""
    known: dict[str, str] = read_json(library.with_name("build.json"))
    return known


def build(recipe: Recipe, *, force: bool = False) -> Path:
    """Compile the recipe's library unless it is there; of several processes only one compiles.

    Returns:
        The library's path.

    Raises:
        UserError: it doesn't compile (the full log's path is in the message), or the disk.
    """
    library = library_path(recipe)
    if library.is_file() and not force:
        return library
    with explained_disk_errors(library), _locked(library.parent):
        if library.is_file() and not force:
            return library
        units = len(recipe.sources)
        workers = min(
            units, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        )
        slow = sum(file.suffix == ".cu" for file in recipe.sources)
        seconds = 5 * round((6 * (units - slow) + 30 * slow) / workers / 5 + 1)
        _log.warning("compiling the native kernels (once, about %d s) ...", seconds)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=".part-", dir=library.parent) as scratch:
            made = _compile(recipe, Path(scratch), workers)
            write_json(library.parent / "build.json", recipe.description())
            made.chmod(0o755)
            made.replace(library)
        _log.info("compiled %s in %.0f s", library, time.monotonic() - began)
    return library


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; where the file system has none, renaming alone keeps things whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.warning("waiting for another process that compiles the native kernels ...")
                fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError) as error:
            _log.info("no lock on %s (%s)", folder, error)
        yield  # closing the file frees the lock


def _compile(recipe: Recipe, scratch: Path, workers: int) -> Path:
    """Compile and link in a scratch folder."""
    commands, objects = [], []
    for source in recipe.sources:
        out = scratch / f"{source.parent.name}-{source.stem}.o"
        objects.append(str(out))
        commands.append([*_unit_command(recipe, source), "-c", str(source), "-o", str(out)])
    library = scratch / "dac.so"
    with ThreadPoolExecutor(workers) as pool, Programs() as compilers:
        results = list(pool.map(compilers.run, commands))
        if not any(status for status, _ in results):
            results.append(compilers.run(_link_command(recipe, objects, library)))
    if any(status for status, _ in results):
        log = scratch.parent / "failed.log"
        log.write_text("\n".join(text for _, text in results))
        first = next(text for status, text in results if status)
        said = re.search(
            r"^.*(?:error|undefined|cannot find).*$", first, re.MULTILINE | re.IGNORECASE
        )
        raise UserError(
            "native kernels",
            f"don't compile: {said[0].strip() if said else recipe.compiler.version}",
            f"the whole log is {log}; try another compiler (CXX), {REFERENCE}",
        )
    return library


def _unit_command(recipe: Recipe, source: Path) -> list[str]:
    include = Path(torch.__file__).parent / "include"
    where = [f"-I{CSRC}", f"-I{CSRC / 'common'}", "-isystem", str(include)]
    if recipe.cuda is None or source.suffix != ".cu":
        own = ["-DDAC_CUDA"] if recipe.cuda else []
        return [*recipe.compiler.command, *_FLAGS, *_machine_flags(), *own, *where]
    archs = []
    for arch in recipe.archs:
        archs += ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
    # nvcc takes no compiler with arguments of its own (a cache, say): the last word is the program.
    host = ["-ccbin", recipe.compiler.command[-1]]
    return [*recipe.cuda.command, *_CUDA_FLAGS, *host, *archs, *where]


def _link_command(recipe: Recipe, objects: Sequence[str], library: Path) -> list[str]:
    torch_lib = Path(torch.__file__).parent / "lib"
    # torch has loaded its libraries before ours. libtorch stands for those with CUDA, too, so that
    # a library linked beside a torch without CUDA finds them in one that has it.
    wanted = [f"-L{torch_lib}", "-ltorch", "-ltorch_cpu"]
    if recipe.cuda:  # nvcc knows where its runtime lies
        own = [*recipe.cuda.command, "-cudart=static", "-ccbin", recipe.compiler.command[-1]]
        own += ["-Xlinker=--no-as-needed", "-Xlinker=-z", "-Xlinker=defs"]
    elif sys.platform == "darwin":
        own = [*recipe.compiler.command, "-undefined", "dynamic_lookup", f"-Wl,-rpath,{torch_lib}"]
    else:
        own = [*recipe.compiler.command, "-Wl,--no-as-needed,-z,defs"]
    return [*own, "-shared", *objects, *wanted, "-o", str(library)]


def main() -> None:
    """`python -m dac.ops.build`: compile and print the library's path."""
    parser = argparse.ArgumentParser(
        prog="python -m dac.ops.build", description="Compile the kernels."
    )
    parser.add_argument("--force", action="store_true", help="compile even if the library is there")
    parser.add_argument("--cuda", action="store_true", help="with the CUDA kernels, GPU or not")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        print(build(make_recipe(cuda=True if options.cuda else None), force=options.force))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
