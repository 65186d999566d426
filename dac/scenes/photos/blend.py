"""From a `.blend` file to a data set in the Blender format, made as in section 4.1.1 of the paper.

Candidates are uniform on the upper hemisphere around the object. Farthest point sampling chooses
the training views, and from other candidates the test views. All cameras look at the centre. Which
view is the i-th depends on nothing but the settings, so that views can be rendered in any portions,
and more of them keep those that are there.

In the data set the centre is the origin and the cameras are 4.03 from it, as in NeRF-synthetic,
whatever the file's units are: near and far planes and the box of that format fit.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dac.errors import UserError
from dac.process.programs import Programs
from dac.process.progress import with_progress
from dac.scenes.photos.images import decode, open_image
from dac.scenes.photos.viewpoints import (
    farthest_point_sampling,
    hemisphere_candidates,
    opengl_look_at,
)
from dac.settings import RenderSettings
from dac.storage.artifacts import (
    explained_disk_errors,
    new_folder,
    read_json,
    remove_folder,
    require_space,
    sha256,
    write_json,
)
from dac.storage.provenance import source_digest
from dac.storage.states import digest_of

Floats = NDArray[np.float64]
Part = Literal["train", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

DISTANCE = 4.0311289  # of NeRF-synthetic's cameras from the origin
SCRIPT = Path(__file__).with_name("render_in_blender.py")
# How the script's lines begin.
_VIEW, _ERROR = "dac view: ", "dac error: "
_SEEDS = 2**31  # Cycles' own limit
# What says how the work is done, or how much of it there is, and nothing of a view.
_NO_MATTER = {"train_views", "test_views", "chunk", "executable"}
_FIX = "see this job's log; render.executable names Blender, or a Python that has bpy"


@dataclass(frozen=True)
class Chunk:
    """Views that one job renders: those of a part from `first` to `last`, both included."""

    part: Part
    first: int
    last: int

    @property
    def names(self) -> list[str]:
        """Of the views, e.g. `r_000`."""
        return [f"r_{i:03}" for i in range(self.first, self.last + 1)]


def chunks_of(settings: RenderSettings) -> list[Chunk]:
    """All views, each in one chunk."""
    counts = {"train": settings.train_views, "test": settings.test_views}
    return [
        Chunk(part, first, min(first + settings.chunk, counts[part]) - 1)
        for part in PARTS
        for first in range(0, counts[part], settings.chunk)
    ]


def poses_of(settings: RenderSettings, chunk: Chunk) -> Floats:
    """Cameras of a chunk's views, relative to the centre.

    Returns:
        (N, 4, 4) camera-to-world, OpenGL axes, in the file's units.
    """
    seed = 2 * settings.seed + PARTS.index(chunk.part)
    lowest = float(np.radians(settings.minimum_elevation))
    candidates = hemisphere_candidates(settings.candidates, settings.radius, seed, lowest)
    chosen = farthest_point_sampling(candidates, chunk.last + 1, seed)[chunk.first :]
    return np.stack([opengl_look_at(candidates[i]) for i in chosen])


def render_chunk(
    blend: Path,
    settings: RenderSettings,
    chunk: Chunk,
    out: Path,
    work: Path,
    *,
    executable: str,
    threads: int,
    label: str,
) -> None:
    """Render a chunk of views.

    Args:
        blend: the file.
        settings: how; but for how many views there are, in what chunks, and rendered by what.
        out: gets images/ (RGBA PNGs, straight alpha) and cameras.json (as transforms_train.json,
            and the part), all or nothing.
        work: state, shared by the chunks of a file; views that a killed job has rendered lie there.
        executable: Blender, or a Python that has bpy; a path, or a name on the PATH.
        threads: of Cycles.
        label: what the progress is called.

    Raises:
        UserError: the file can't be opened or shows nothing; the program is missing or fails; no
            room on the disk.
    """
    folder = work / _digest(blend, settings)[:16] / chunk.part
    with explained_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in chunk.names if not _is_whole(folder / f"{name}.png", settings.size)]
    poses = poses_of(settings, chunk)
    if missing:
        require_space(work, len(missing) * 4 * settings.size**2)
        job = folder / f"{chunk.first}-{chunk.last}.json"
        write_json(job, _job(blend, settings, chunk, poses, missing, folder, threads))
        command = [*_command(executable), str(job)]
        _render(blend, command, missing, label, len(chunk.names))
        for name in missing:
            if not _is_whole(folder / f"{name}.png", settings.size):
                what = f"has written no whole picture of view {name}"
                raise UserError(executable, what, _FIX)
    files = [folder / f"{name}.png" for name in chunk.names]
    if not any(decode(file, 4)[..., 3].any() for file in files):
        what = f"nothing is to be seen in any view of {chunk.part} {chunk.names[0]} and on"
        raise UserError(blend, what, "check render.centre and render.radius")
    with new_folder(out) as made:
        (made / "images").mkdir()
        for file in files:
            _link(file, made / "images" / file.name)
        write_json(made / "cameras.json", _transforms(settings, chunk, poses))


def _digest(blend: Path, settings: RenderSettings) -> str:
    """Of all that a view depends on."""
    values = settings.model_dump(mode="json", exclude=_NO_MATTER)
    code = source_digest("dac.scenes.photos.blend", "dac.scenes.photos.render_in_blender")
    return digest_of(sha256(blend), values, code)


def _is_whole(file: Path, size: int) -> bool:
    """Whether an image is there and every byte of it is as it was written: PNGs hold checksums."""
    try:
        with open_image(file) as image:
            fits = image.size == (size, size) and image.mode == "RGBA"
            image.verify()
        return fits and decode(file, 4).shape == (size, size, 4)
    except UserError:
        return False


def _job(
    blend: Path,
    settings: RenderSettings,
    chunk: Chunk,
    poses: Floats,
    missing: Sequence[str],
    folder: Path,
    threads: int,
) -> dict[str, object]:
    """What `render_in_blender` is told; each view has noise of its own, the same in every run."""
    placed = poses.copy()
    placed[:, :3, 3] += settings.centre
    views = [
        {
            "name": name,
            "pose": placed[i].tolist(),
            "seed": (settings.seed + 2 * (chunk.first + i) + PARTS.index(chunk.part)) % _SEEDS,
        }
        for i, name in enumerate(chunk.names)
        if name in set(missing)
    ]
    same = settings.model_dump(include={"size", "samples", "camera_angle_x", "radius"})
    paths = {"blend": str(blend.absolute()), "folder": str(folder.absolute())}
    return {**same, **paths, "threads": threads, "views": views}


def _command(executable: str) -> list[str]:
    """The program, and what it needs to run our script and nothing else.

    Raises:
        UserError: it is missing, or neither Blender nor Python.
    """
    program = shutil.which(executable)
    if program is None:
        what = f"there is no program {executable!r}"
        fix = "install Blender, or bpy into an environment of its own, and name it there"
        raise UserError("render.executable", what, fix)
    status, said = _run([program, "--version"], print)
    if status == 0 and "\nPython 3" in said:
        return [program, "-P", str(SCRIPT), "--"]
    if status == 0 and "\nBlender " in said:
        options = ["--background", "--factory-startup", "--disable-autoexec"]
        return [program, *options, "--python-exit-code", "1", "--python", str(SCRIPT), "--"]
    raise UserError(program, "is neither Blender nor Python, going by --version", _FIX)


def _run(command: Sequence[str], heard: Callable[[str], object]) -> tuple[int, str]:
    """Run a program that ends with this process, and say what it says.

    Raises:
        UserError: it can't be started.
    """
    try:
        with Programs() as programs:
            return programs.run(command, heard)
    except OSError as error:
        raise UserError(command[0], f"can't be started ({error.strerror})", _FIX) from None


def _render(
    blend: Path, command: Sequence[str], missing: Sequence[str], label: str, total: int
) -> None:
    """Let Blender render the views that are missing.

    It is judged by the images: it may well crash when all is done and it only has to end.

    Raises:
        UserError: it gave up, or ended before the last view.
    """
    progress = with_progress(missing, label, total - len(missing))
    next(progress)
    rendered, fault, last = 0, "", ""

    def heard(line: str) -> None:
        nonlocal rendered, fault, last
        if "Fra:" in line:  # how far a view is, several times a second
            return
        print(line, end="")
        last = line.strip() or last
        if line.startswith(_VIEW):
            rendered += 1
            next(progress, None)
        elif line.startswith(_ERROR):
            fault = line.removeprefix(_ERROR).strip()

    status, _ = _run(command, heard)
    if fault:
        raise UserError(blend, fault, "open the file in Blender, and see this job's log")
    if rendered < len(missing):
        how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        what = f"ended {how} after {rendered} of {len(missing)} views: {last}"
        raise UserError(command[0], what, _FIX)


def _link(file: Path, name: Path) -> None:
    """Another name for a file, or a copy where the file system has no such links."""
    try:
        name.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, name)


def _transforms(settings: RenderSettings, chunk: Chunk, poses: Floats) -> dict[str, object]:
    """The Blender format's account of the views, in the data set's units."""
    poses = poses.copy()
    poses[:, :3, 3] *= DISTANCE / settings.radius
    frames = [
        {"file_path": f"./{chunk.part}/{name}", "transform_matrix": pose.tolist()}
        for name, pose in zip(chunk.names, poses, strict=True)
    ]
    return {"part": chunk.part, "camera_angle_x": settings.camera_angle_x, "frames": frames}


def assemble(chunks: Sequence[Path], out: Path, work: Path) -> None:
    """Bring all chunks together to a data set that `dac.scenes.formats.blender` reads.

    Args:
        chunks: folders that `render_chunk` wrote, those of a part in order.
        out: gets train/, test/, transforms_train.json and transforms_test.json, all or nothing.
        work: the state of `render_chunk`, which goes: nobody needs it any more.

    Raises:
        UserError: a chunk is damaged; the disk is full.
    """
    with new_folder(out) as made:
        found = [(folder, read_json(folder / "cameras.json")) for folder in chunks]
        for part in PARTS:
            (made / part).mkdir()
            frames = []
            for folder, data in found:
                if data["part"] == part:
                    frames += data["frames"]
                    # Not what Snakemake keeps beside them: it would date both by one name.
                    for file in sorted((folder / "images").glob("[!.]*")):
                        _link(file, made / part / file.name)
            whole = {"camera_angle_x": found[0][1]["camera_angle_x"], "frames": frames}
            write_json(made / f"transforms_{part}.json", whole)
    remove_folder(work)
