"""`dac train`: from data to a trained scene, in one command."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from dac.cli import machine
from dac.cli.driver import Driver, profile_folder
from dac.cli.new import (
    BlenderOption,
    DataArgument,
    DivisionOption,
    FormatOption,
    GroupsOption,
    SizeOption,
    check_name,
    default_file,
    look,
    name_from,
    program,
    write,
)
from dac.cli.proposal import Goal, Proposal
from dac.errors import UserError

_STOPPED = 130  # as shells have it


def train(
    data: DataArgument,
    name: Annotated[
        str | None,
        typer.Option(help="Of the scene.", show_default="the data's", metavar="NAME"),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="One model on all views. The default on one machine."),
    ] = False,
    divide: Annotated[
        bool,
        typer.Option(
            "--divide",
            help="A trunk, experts that grow from it, and the routed model that holds them all. "
            "The default with --profile slurm, where they learn side by side.",
        ),
    ] = False,
    study: Annotated[
        bool,
        typer.Option("--study", help="Both models of the experts, beside baselines to compare."),
    ] = False,
    K: GroupsOption = None,
    division: DivisionOption = None,
    size: SizeOption = "small",
    preview: Annotated[
        bool, typer.Option("--preview", help="The same as --size preview: two minutes.")
    ] = False,
    format: FormatOption = None,
    blender: BlenderOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The configuration to write.", show_default="NAME.yaml, in config/ if there is one"
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="How to run: `local`, `gpu`, `slurm`, or a folder with a Snakemake profile.",
            show_default="gpu where there is one, else local",
        ),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="CPU cores to use.", show_default="all")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show Snakemake's own words, too.")
    ] = False,
) -> None:
    """Train a scene from your data, or from a configuration that you have.

    It looks at the data, says what it found and what it will do, writes that as a configuration,
    and runs the workflow. Run it again to go on: what is done stays. A line of the configuration
    changed, it runs what that changes. Ctrl-C is safe at any time.

      dac train data/garden

      dac train data/garden --preview       a first look

      dac train data/garden --divide        experts

      dac train config/garden.yaml          what stands there
    """
    goals: dict[Goal, bool] = {"plain": plain, "divide": divide, "study": study}
    asked: list[Goal] = [goal for goal, wanted in goals.items() if wanted]
    if len(asked) > 1:
        raise UserError(f"--{asked[0]} --{asked[1]}", "are two things", "choose one")
    if plain and (K or division):
        raise UserError(
            "--plain", "is one model on all views, without groups", "leave the rest out"
        )
    if preview and size != "small":
        raise UserError(f"--preview --size {size}", "are two sizes", "choose one")
    if profile:
        profile_folder(profile)
    decided = bool(asked or K or division or format or blender or size != "small")
    if data.suffix in (".yaml", ".yml"):
        if decided or preview or name or out:
            raise UserError(data, "says itself what to do", "change it, and leave the options out")
        config = data
    else:
        if asked:
            goal = asked[0]
        elif K or division or profile == "slurm":
            goal = "divide"
        else:
            goal = "plain"
        proposal = look(
            _name(name, data),
            data,
            goal,
            "preview" if preview else size,
            division,
            K,
            format,
            blender,
        )
        config = out or default_file(Path(proposal.results).name)
        _prepare(proposal, data, config, decided)
    _run(config, profile, cores, verbose)


def _name(name: str | None, data: Path) -> str:
    """The scene's: the data's own, but for a folder that only says that it holds images.

    Raises:
        UserError: no scene can have it.
    """
    if name is None:
        path = data.resolve()
        found = path.parent if path.name in ("images", "photos") else path
        name = name_from(found.stem if path.is_file() else found.name) or "scene"
    check_name(name)
    return name


def _prepare(proposal: Proposal, data: Path, config: Path, decided: bool) -> None:
    """Say what will be done, and write it down; what is written already holds.

    Args:
        decided: whether options said more than the data.

    Raises:
        UserError: another configuration is there, and options that it doesn't follow.
    """
    if not config.exists():
        write(proposal, config)
        print(*proposal.sentences(data), sep="\n")
        print(f"Wrote {config}, which you may change; {program('dac')} train {config} follows it.")
    elif decided and config.read_text(encoding="utf-8") != proposal.configuration(config):
        what = "exists already, and says something else than these options"
        fix = f"to go on with it: {program('dac')} train {config}; for another one: --out, --name"
        raise UserError(config, what, fix)
    else:
        print(f"As {config} says, which is there already.")


def _run(config: Path, profile: str | None, cores: int | None, verbose: bool) -> None:
    """Run the workflow on a configuration, and say what came out.

    Raises:
        UserError: the configuration can't be run.
        ModuleNotFoundError: there is no Snakemake.
    """
    if find_spec("snakemake") is None:
        raise ModuleNotFoundError("the workflow runs by Snakemake", name="snakemake")
    from dac.cli.account import Account
    from dac.configuration import Configuration, merge
    from dac.storage.project import DEFAULT_CONFIG, PROJECT
    from dac.storage.yaml_files import read_yaml
    from dac.workflow import preflight
    from dac.workflow.groups import choose_groups
    from dac.workflow.plan import planned
    from dac.workflow.studies import all_trainings

    merged = merge(read_yaml(DEFAULT_CONFIG), read_yaml(config))
    configuration = Configuration.checked(merged, str(config), choose_groups)
    preflight.check(configuration, str(config))
    print(f"{planned(configuration, PROJECT / 'docs/results/step_times.json')}.", flush=True)

    settings, scenes = configuration.settings, configuration.scenes.values()
    count = sum(len(all_trainings(settings, scene)) for scene in scenes)
    profile = profile or _profile()
    arguments = [] if profile == "slurm" else ["--cores", str(cores or "all")]
    if profile == "local" and count == 1:  # it has the machine for itself
        arguments += ["--set-threads", f"baseline={cores or machine.cores()}"]
    results = Path(settings.results)
    driver = Driver(results, config, profile, arguments, verbose)
    account = Account(configuration)
    try:
        said = driver.run((lambda: None) if verbose else account.look)
    except KeyboardInterrupt:
        account.end()
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        raise typer.Exit(_STOPPED) from None
    account.look()
    account.end()
    if said:
        *before, last = said
        for line in before:
            print(line, file=sys.stderr)
        sys.exit(last)
    _conclude(results, list(configuration.scenes))


def _profile() -> str:
    import torch

    return "gpu" if torch.cuda.is_available() else "local"


def _conclude(results: Path, scenes: list[str]) -> None:
    """Say what came out, write each scene's page, and name the next commands."""
    from dac.cli.status import scores_of
    from dac.page.write import write_page

    print()
    for scene in scenes:
        for score in scores_of(results, scene):
            views = f"on {score.views} test views"
            if score.psnr is not None:
                print(f"{scene}: {score.psnr:.2f} dB {views}: {score.title}, {score.seed}")
        page = results / f"report-{scene}.html"
        write_page(results, scene, page)
        print(f"{scene}: all of it in one file, to open or to send: {page}")
    dac, some = program("dac"), f"--scene {scenes[0]} " if len(scenes) > 1 else ""
    print("\nNext, to look at it from anywhere, and to take it away:\n")
    print(f"  {dac} view {results}")
    print(f"  {dac} render video --results {results} {some}--out {scenes[0]}.mp4")
    print(f"  {dac} export model --results {results} {some}--out {scenes[0]}.safetensors")
