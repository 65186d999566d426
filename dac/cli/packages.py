"""Whether the packages that this one asks for are there, of the right version, and work.

What it asks for says its own metadata, as pip installed it.

Each is imported in another process: a library that was built for another processor kills the one
that imports it, and one that hangs never lets it go on.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dac.cli.checks import Mark, Result, error_text
from dac.errors import UserError
from dac.storage.project import PROJECT

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NAME = "dac-nerf"
SECONDS = 180  # for all imports together

_MODULES = {  # where a package's module has another name
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "scikit-image": "skimage",
}
# A line each; the others are listed together where all is well.
_OWN_LINE = ("torch", "pycolmap", "snakemake", "snakemake-executor-plugin-slurm")
_IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
        print(name, "works", flush=True)
    except BaseException as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        print(name, text.encode("ascii", "backslashreplace").decode(), flush=True)
"""


@dataclass(frozen=True)
class Package:
    """A package that is asked for.

    Attributes:
        requirement: its name and the versions that will do.
        group: `core`, `workflow` or `app`.
        mark: how bad it is if it is missing.
    """

    requirement: Requirement
    group: str
    mark: Mark

    @property
    def name(self) -> str:
        return self.requirement.name

    @property
    def module(self) -> str:
        return _MODULES.get(self.name.lower(), self.name.replace("-", "_"))


def metadata() -> importlib.metadata.PackageMetadata:
    """This package's own, as pip wrote it.

    Raises:
        UserError: it was not installed.
    """
    try:
        return importlib.metadata.metadata(NAME)
    except importlib.metadata.PackageNotFoundError:
        fix = f"{sys.executable} -m pip install -e {PROJECT}"
        raise UserError(NAME, "runs from its folder, without being installed", fix) from None


def wanted(*, slurm: bool) -> list[Package]:
    """Core, workflow and app; what the app needs, and without `slurm` its plugin, can be missed.

    Raises:
        UserError: as `metadata`.
    """
    from packaging.requirements import Requirement

    asked = [Requirement(text) for text in metadata().get_all("Requires-Dist", [])]
    packages: dict[str, Package] = {}
    for group in ("core", "workflow", "app"):
        for requirement in asked:
            if _is_of(requirement, group):
                name = requirement.name
                missed = group == "app" or (name == "snakemake-executor-plugin-slurm" and not slurm)
                packages[name] = Package(requirement, group, "warn" if missed else "fail")
    return list(packages.values())


def _is_of(requirement: Requirement, group: str) -> bool:
    """Whether a package belongs to the core, or to an extra alone."""
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return group == "core"
    return marker.evaluate({"extra": group})


def not_installed(error: ModuleNotFoundError) -> str:
    """One line that says how to install what an import misses; empty if nobody asks for that."""
    module = (error.name or "").partition(".")[0]
    for package in wanted(slurm=True):
        if package.module == module:
            extra = "" if package.group == "core" else f"[{package.group}]"
            fix = f"{sys.executable} -m pip install '{NAME}{extra}'"
            return str(UserError(package.name, "is not installed", fix))
    return ""


def check_packages(*, slurm: bool) -> list[Result]:
    """A line for each package that matters most or is at fault; one a group for the others."""
    packages = wanted(slurm=slurm)
    faults = faults_of([package.module for package in packages])
    results = []
    for group in ("core", "workflow", "app"):
        fine = []
        for package in (package for package in packages if package.group == group):
            result = _result(package, faults[package.module])
            if result.mark == "ok" and package.name not in _OWN_LINE:
                fine.append(f"{package.name} {result.what}")
            else:
                results.append(result)
        if fine:
            results.append(Result("ok", f"{group} packages", ", ".join(fine)))
    return results


def _result(package: Package, fault: str) -> Result:
    install = f"{sys.executable} -m pip install"
    requirement = f"{package.name}{package.requirement.specifier}"
    asked = f"-c {PROJECT / 'constraints.txt'} '{requirement}'"
    try:
        version = importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if fault:
        again = "--force-reinstall --no-deps " if version else ""
        what = f"{version} doesn't work: {fault}" if version else "is not installed"
        return Result(package.mark, package.name, what, f"{install} {again}{asked}")
    if version and not package.requirement.specifier.contains(version, prereleases=True):
        what = f"{version}, but {package.requirement.specifier} is needed"
        return Result(package.mark, package.name, what, f"{install} {asked}")
    return Result("ok", package.name, version or "works (of an unknown version)")


def faults_of(modules: Sequence[str]) -> dict[str, str]:
    """What goes wrong when each module is imported; empty for those that work."""
    faults: dict[str, str] = {}
    while left := [name for name in modules if name not in faults]:
        said, end = _import(left)
        for line in said.splitlines():
            name, _, text = line.partition(" ")
            if name in left:
                faults[name] = "" if text == "works" else error_text(text)
        if left[-1] not in faults:  # the process ended in the first that it says nothing of
            faults[next(name for name in left if name not in faults)] = end
    return faults


def _import(modules: Sequence[str]) -> tuple[str, str]:
    """What a process says that imports the modules in turn, and how it ended."""
    command = [sys.executable, "-P", "-c", _IMPORTS, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as expired:
        said = expired.stdout or b""
        return said.decode() if isinstance(said, bytes) else said, "its import hangs"
    if done.returncode < 0:
        return done.stdout, f"its import kills the process (signal {-done.returncode})"
    return done.stdout, f"its import ends the process (status {done.returncode})"
