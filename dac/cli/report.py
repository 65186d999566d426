"""`dac report`: a scene's results as one HTML file that can be sent to anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dac.cli.chosen import ResultsArgument, SceneName


def report(
    results: ResultsArgument = Path("results"),
    scene: SceneName = None,
    out: Annotated[
        Path | None, typer.Option(help="The file. [default: RESULTS/report-SCENE.html]")
    ] = None,
) -> None:
    """Write one scene's report: an HTML file that holds all it shows and loads nothing."""
    from dac.catalogue import choose_scene
    from dac.page.write import write_page

    name = choose_scene(results, scene)
    file = results / f"report-{name}.html" if out is None else out
    size = write_page(results, name, file)
    print(f"{file}: {size / 1e6:.2f} MB")
