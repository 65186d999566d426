"""An executable that passes for Blender: our own script, on a `bpy` that draws spheres."""

from __future__ import annotations

import sys
from pathlib import Path

BPY = Path(__file__).parent / "scenes" / "fake_bpy"

# Blender's own order: options, the script behind --python, the script's arguments behind --.
BLENDER = """#!/bin/sh
if [ "$1" = --version ]; then
    echo "Blender 4.5.15 LTS"
    exit
fi
case "$*" in
    "--background --factory-startup --disable-autoexec --python-exit-code 1 --python "*) ;;
    *) echo "strange options: $*"; exit 2 ;;
esac
while [ "$1" != --python ]; do shift; done
PYTHONPATH='{bpy}' exec '{python}' -P "$2" "$3" "$4"
"""


def write_blender(folder: Path) -> Path:
    """The executable, in a folder that is there."""
    file = folder / "blender"
    file.write_text(BLENDER.format(bpy=BPY, python=sys.executable))
    file.chmod(0o755)
    return file
