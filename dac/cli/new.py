"""`dac new`: look at a data set, and write the configuration of a scene."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from dac.catalogue import RESERVED
from dac.cli.proposal import Goal, Proposal, propose
from dac.cli.sizes import SizeName
from dac.divide.groups import MOST_GROUPS, VIEWS_A_GROUP
from dac.errors import UserError
from dac.settings import Division, Format
from dac.storage.project import DEFAULT_CONFIG, SNAKEFILE, in_project

DataArgument = Annotated[
    Path,
    typer.Argument(
        help="What you have: a folder of photos, a video, a .blend file, or a folder in the "
        "layout of COLMAP, nerfstudio or instant-ngp (transforms.json), Blender or "
        "NeRF-synthetic (transforms_train.json), NeRF++ or NSVF."
    ),
]
DivisionOption = Annotated[
    Division | None,
    typer.Option(
        help="How the views are divided into groups.",
        show_default="azimuth for an object that was made in Blender, louvain for a real place",
    ),
]
GroupsOption = Annotated[
    int | None,
    typer.Option(
        "--K",
        min=1,
        max=1000,
        help="Groups, and experts. More of them learn side by side, from fewer views each.",
        show_default=f"2 to {MOST_GROUPS}, with some {VIEWS_A_GROUP} training views a group",
    ),
]
SizeOption = Annotated[
    SizeName,
    typer.Option(
        help="Of images, model and training: `preview` for a look in two minutes, `small` for a "
        "few CPU cores (on two of them 15 to 30 minutes), `paper` for a GPU.",
    ),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        help="What the data set is, where that can't be told from its files: `photos` takes "
        "the images of any, and finds new cameras for them.",
        show_default="found out",
    ),
]
BlenderOption = Annotated[
    str | None,
    typer.Option(
        help="Blender, or a Python that has bpy; for a .blend file alone.",
        show_default="blender on the PATH",
    ),
]


def new(
    scene: Annotated[
        str, typer.Argument(help="A name for it: letters, digits, underscores, e.g. garden.")
    ],
    path: DataArgument,
    out: Annotated[
        Path | None, typer.Option(help="The file to write.", show_default="config/SCENE.yaml")
    ] = None,
    division: DivisionOption = None,
    K: GroupsOption = None,
    size: SizeOption = "small",
    format: FormatOption = None,
    blender: BlenderOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a scene's configuration from your data.

    One command trains it then. Nothing is trained yet, and the data are only read. What was found
    and decided is said in plain sentences and stands in the file, whose lines you may change;
    docs/settings.md knows them all. It is for a study: both models of the experts, and baselines
    of once and twice the steps. `dac train` looks, writes and trains at once, one model by default.

      dac new garden data/garden            a folder of photos

      dac new chair data/chair.blend        rendered first

      dac new fox data/fox --K 2            two experts
    """
    out = out or default_file(scene)
    check_name(scene)
    _refuse(out, force)
    proposal = look(scene, path, "study", size, division, K, format, blender)
    write(proposal, out)
    for sentence in proposal.sentences(path):
        print(sentence)
    _print_next_steps(proposal.results, out)


def default_file(name: str) -> Path:
    """Where a configuration lies: among the project's own, or in the working folder."""
    return Path("config" if in_project() else "", f"{name}.yaml")


def look(
    scene: str,
    path: Path,
    goal: Goal,
    size: SizeName,
    division: Division | None,
    K: int | None,
    format: Format | None,
    blender: str | None,
) -> Proposal:
    """Look at a data set, and decide what was not asked for.

    Raises:
        UserError: it is none, or can't be what was asked for.
    """
    from dac.scenes.recognise import recognise

    found = recognise(path, format)
    program = _blender(blender) if found.format == "blend" else None
    return propose(scene, found, goal, size, division, K, program)


def check_name(scene: str) -> None:
    """Refuse a name that no scene can have.

    Raises:
        UserError: with one that fits.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}", scene):
        fit = name_from(scene)
        what = (
            "is no name for a scene: up to 64 letters, digits and underscores, no underscore first"
        )
        raise UserError(scene or "SCENE", what, f"try {fit}" if fit else "")
    if scene in RESERVED:
        what = f"is no name for a scene: results have folders {', '.join(RESERVED)}"
        raise UserError(scene, what, f"try {scene}_scene")


def name_from(text: str) -> str:
    """The name of a scene that is nearest to a text; empty if it has no letter."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:64]


def _refuse(out: Path, force: bool) -> None:
    """Refuse a file that is there."""
    if out.is_dir():
        raise UserError(out, "is a folder", "name a file with --out")
    is_base = out.exists() and any(
        base.exists() and out.samefile(base)
        for base in (DEFAULT_CONFIG, Path("config/config.yaml"))
    )
    if out.exists() and (not force or is_base):
        fix = "choose another name, name another file with --out"
        replace = "" if is_base else ", or replace it with --force"
        raise UserError(out, "exists already", fix + replace)


def _blender(asked: str | None) -> str | None:
    """The program to write down; None if Blender is where settings expect it.

    Raises:
        UserError: it is not there.
    """
    if shutil.which(asked or "blender") is None:
        what = f"{asked} is no program" if asked else "no Blender on the PATH, to render the views"
        raise UserError("blender", what, "name it, e.g. --blender /opt/blender/blender")
    return asked


def write(proposal: Proposal, out: Path) -> None:
    """Write the file; it appears only if the workflow would take it.

    Raises:
        UserError: it would not; the disk.
    """
    from dac.configuration import merge, parse
    from dac.storage.artifacts import write_file
    from dac.storage.yaml_files import read_yaml

    def write(temporary: Path) -> None:
        temporary.write_text(proposal.configuration(out), encoding="utf-8")
        parse(merge(read_yaml(DEFAULT_CONFIG), read_yaml(temporary)), str(out))

    try:
        write_file(out, write)
    except OSError as error:
        what = f"can't be written ({error.strerror})"
        raise UserError(out, what, "name another file with --out") from None


def _print_next_steps(results: str, config: Path) -> None:
    print(f"\nWrote {config}. Next, to see what would run, to run it, and to look on:\n")
    snakemake = f"{program('snakemake')} --cores all --configfile {config}"
    if not in_project():
        snakemake += f" --snakefile {SNAKEFILE}"
    dac = program("dac")
    print(f"  {snakemake} -n\n  {snakemake}\n  {dac} status {results}")
    print(f"\nand once it is done:\n\n  {dac} report {results}\n  {dac} view {results}")


def program(name: str) -> str:
    """How the program beside this Python is called from here."""
    beside = Path(sys.executable).with_name(name)
    on_path = shutil.which(name)
    if not beside.is_file() or (on_path and Path(on_path) == beside):
        return name
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
