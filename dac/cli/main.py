"""`dac`: the commands, each in a module of its own that imports nothing heavy until it is called.

A user's mistake is one line on standard error and exit status 1, as everywhere in the project.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dac.cli import export, render
from dac.cli.doctor import doctor
from dac.cli.new import new
from dac.cli.report import report
from dac.cli.status import status
from dac.cli.train import train
from dac.cli.view import view
from dac.errors import UserError
from dac.version import __version__

app = typer.Typer(
    name="dac",
    help="Divide-and-conquer training of radiance fields: what surrounds the workflow.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, new, doctor, status, view, report):
    app.command()(command)
app.add_typer(render.app, name="render")
app.add_typer(export.app, name="export")


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The command line; a user's mistake ends it with one line, a package that lacks, too."""
    try:
        app()
    except UserError as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        from dac.cli.packages import not_installed

        if not (line := not_installed(error)):
            raise
        sys.exit(f"error: {line}")


if __name__ == "__main__":
    main()
