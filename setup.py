"""What pyproject.toml can't say: an installed package holds the workflow, as `dac/project`.

In a checkout its files stand beside the package, and nothing is copied (`dac.storage.project`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROJECT = (
    *("Snakefile", "rules", "workflow_scripts", "config", "profiles", "envs"),
    *("constraints.txt", "docs/results/step_times.json"),
)


class BuildWithProject(build_py):
    """The package's modules, and the workflow."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        built = Path(self.build_lib, "dac", "project")
        shutil.rmtree(built, ignore_errors=True)
        for name in PROJECT:
            to = built / name
            to.parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(name, to)


setup(cmdclass={"build_py": BuildWithProject})
