"""What the scripts of figures share: a job as the face of `dac.report.figures`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from _job import Job


def draw_with(draw: Callable[..., None], job: Job, settings: dict[str, Any]) -> None:
    """Call a figure's `draw` with the job's files."""
    inputs = {
        name: [Path(file) for file in ([files] if isinstance(files, str) else files)]
        for name, files in job.input.items()
    }
    outputs = {name: Path(file) for name, file in job.output.items()}
    draw(inputs, outputs, settings, dict(job.wildcards.items()))
