"""`dac doctor`: whether this machine has what the workflow needs, and what to do where not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from dac.cli import machine, packages, slurm
from dac.cli.checks import Mark, Result, results_of

_COLOURS: dict[Mark, str] = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    results: Annotated[
        Path, typer.Argument(help="The results folder, there or not: its disk is looked at.")
    ] = Path("results"),
    profile: Annotated[
        Literal["slurm"] | None,
        typer.Option(
            help="Look at the cluster, too, and whether profiles/slurm fits it.",
            show_default="this machine alone",
        ),
    ] = None,
    build: Annotated[
        bool,
        typer.Option("--build", help="Compile the native kernels now, if they are not yet."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: a JSON list of mark, name, what, fix.")
    ] = False,
) -> None:
    """Check this machine, and say what to mend.

    Green (ok): fine. Yellow (warn): works, but slower or without something. Red (fail): trainings
    can't run; the exit status is 1 then, else 0. Below each yellow or red line stands what helps.

      dac doctor

      dac doctor --build                compile the kernels ahead of the first training

      dac doctor --profile slurm        on a cluster's login node
    """
    found = check_all(results, on_slurm=profile == "slurm", build=build)
    if as_json:
        print(json.dumps([asdict(result) for result in found], indent=1))
    else:
        for result in found:
            _print(result)
    raise typer.Exit(any(result.mark == "fail" for result in found))


def check_all(results: Path, *, on_slurm: bool, build: bool) -> list[Result]:
    """Every check, in order; none raises."""
    checks = {
        "Python": machine.check_python,
        "packages": lambda: packages.check_packages(slurm=on_slurm),
        "device": machine.check_device,
        "C++ compiler": machine.check_compiler,
        "native kernels": lambda: machine.check_kernels(build=build),
        "disk": lambda: machine.check_disk(results),
        "memory": machine.check_memory,
        "Slurm": lambda: slurm.check_slurm(wanted=on_slurm),
    }
    return [result for name, check in checks.items() for result in results_of(name, check)]


def _print(result: Result) -> None:
    mark = typer.style(f"{result.mark:<5}", fg=_COLOURS[result.mark], bold=True)
    typer.echo(f"{mark}{result.name}: {result.what}")
    if result.fix:
        typer.echo(f"     -> {result.fix}")
