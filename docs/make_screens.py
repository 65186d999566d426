"""Put what the demo and the tutorial's walks made into the pages that show it.

    make demo && .venv/bin/python docs/make_screens.py demo
    .venv/bin/python docs/make_screens.py my_fox room square my_lego    # hours on two cores

`demo` reads the finished demo: its table for the README and the tutorial, and two pictures. A walk
runs its commands, as docs/tutorial.md has them, in the project's folder, and writes what they say
in the place of what they said; one that was stopped goes on where it stood. Once all four are done,
the page's last table and pictures follow. The data are expected where config/fox.yaml,
config/bonsai.yaml and config/lego.yaml say; the video and the COLMAP model are made of the bonsai's
and the square's photos. Chromium takes the report's picture.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dac.report.figures.qualitative import choose_rows
from dac.report.tables.main import format_main_table, read_main_table
from dac.report.text import share, with_interval

ROOT = Path(__file__).resolve().parent.parent
README, TUTORIAL = ROOT / "README.md", ROOT / "docs" / "tutorial.md"
IMAGES = ROOT / "docs" / "images"
WALKS = ("my_fox", "room", "square", "my_lego")
PUBLISHED = ("Scene", "Model", "PSNR ↑", "Gain")

# Which lines of a long run are shown, of the first walk and of the others.
_MILESTONES = r"^Configured: |^dac\.video: Chose|^dac\.sfm: Structure from motion made|100%\) done"
_ALL = rf"{_MILESTONES}|^total +\d|^dac\.sfm: (features|matches|mapping|Compared)\b"
_PROGRESS = re.compile(r"^(\w+ .+): step \d+ of (\d+), PSNR")
_MODELS = r"scored .*(routed|merged)"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=("demo", *WALKS))
    wanted = parser.parse_args(arguments).what
    if "demo" in wanted:
        show_demo()
    for scene in WALKS:
        if scene in wanted:
            go(scene)
    if all((ROOT / f"results/{scene}/tables/main.csv").is_file() for scene in WALKS):
        show_walks()


# --- The demo ------------------------------------------------------------------------------------


def show_demo() -> None:
    """The demo's table, its test views and the square's groups."""
    tables = ROOT / "results/tables"
    replace(README, r"\| Scene \| Model \|.*?\n\n", _published((tables / "main.md").read_text()))
    text = format_main_table(tables / "main.csv").split("\n\n")[0]
    replace(TUTORIAL, r"(?<=```text\n)Scene .*?\n(?=```)", f"{text}\n")
    reduce(ROOT / "results/figures/qualitative-routed.png", IMAGES / "qualitative.png", 800)
    (groups,) = (ROOT / "results/village_square").glob("louvain-*/partition.png")
    reduce(groups, IMAGES / "partition.png", 1400)


def _published(markdown: str) -> str:
    """The columns of the main table that the README has."""
    lines = markdown.split("\n\n")[0].splitlines()
    cells = [line.strip("|").split("|") for line in lines]
    kept = [i for i, heading in enumerate(cells[0]) if heading.strip() in PUBLISHED]
    assert len(kept) == len(PUBLISHED)
    return "\n".join(f"|{'|'.join(line[i] for i in kept)}|" for line in cells) + "\n\n"


# --- A walk --------------------------------------------------------------------------------------


def go(scene: str) -> None:
    """Run a walk's commands, and put what each says below it."""
    _prepare(scene)
    for block in re.findall(r"```console\n(.*?)```", TUTORIAL.read_text(), re.DOTALL):
        if f"/{scene}" not in block and f" {scene} " not in block:
            continue
        screen = ""
        for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            print(f"$ {command}", flush=True)
            said = _shown(command, _run(command), first=scene == WALKS[0])
            screen += "\n".join([f"$ {command}", *said]) + "\n"
        TUTORIAL.write_text(TUTORIAL.read_text().replace(block, screen))


def _prepare(scene: str) -> None:
    """Make the data that are made of others, and let `dac new` write its file again."""
    (ROOT / f"config/{scene}.yaml").unlink(missing_ok=True)
    if scene == "room" and not (ROOT / "data/room.mp4").exists():
        _film(sorted((ROOT / "data/bonsai/images").iterdir()), ROOT / "data/room.mp4")
    if scene == "square" and not (ROOT / "data/square").exists():
        _reconstruct(ROOT / "scenes/village-square/images", ROOT / "data/square")


def _film(photos: Sequence[Path], out: Path) -> None:
    """A video of photos, ten a second; its sides are even, as the codec wants them."""
    import av

    with Image.open(photos[0]) as first:
        width, height = (side // 2 * 2 for side in first.size)
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "18"})
        stream.width, stream.height = width, height
        for photo in photos:
            frame = av.VideoFrame.from_image(Image.open(photo).convert("RGB"))
            container.mux(stream.encode(frame.reformat(width, height, "yuv420p")))
        container.mux(stream.encode())


def _reconstruct(photos: Path, out: Path) -> None:
    """A COLMAP model by its own defaults."""
    import pycolmap

    part = out.with_name(f".part-{out.name}")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(photos, part / "images")
    database = part / "database.db"
    pycolmap.extract_features(database, part / "images")
    pycolmap.match_exhaustive(database)
    pycolmap.incremental_mapping(database, part / "images", part / "sparse")
    part.rename(out)


def _run(command: str) -> list[str]:
    """What a command says on both streams, line by line."""
    programs = Path(sys.executable).parent
    done = subprocess.run(
        shlex.split(command),
        cwd=ROOT,
        env=os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode:
        raise SystemExit("\n".join([*lines[-30:], f"error: {command}: exit {done.returncode}"]))
    # Progress is a line of JSON where nobody looks on, or a sentence.
    return [line for line in lines if not re.search(r"^\{|about .+ left$", line)]


def _shown(command: str, lines: list[str], *, first: bool) -> list[str]:
    """The lines that the page has room for."""
    if command.startswith("snakemake"):
        return _elided(lines, _milestones(lines) if first else _matching(_MILESTONES, lines))
    if not first and command.startswith("dac new"):
        end = next(i for i, line in enumerate(lines) if line.startswith("Results: "))
        return _elided(lines, range(end + 1))
    if not first and command.startswith("dac status"):
        return _elided(lines, _matching(_MODELS, lines))
    return lines


def _milestones(lines: list[str]) -> list[int]:
    """What stages said, and of each training the last progress."""
    last = {found.groups(): i for i, line in enumerate(lines) if (found := _PROGRESS.match(line))}
    return sorted({*_matching(_ALL, lines), *last.values()})


def _matching(pattern: str, lines: list[str]) -> list[int]:
    return [i for i, line in enumerate(lines) if re.search(pattern, line)]


def _elided(lines: list[str], kept: Iterable[int]) -> list[str]:
    """These lines, and dots for what is between them."""
    shown, at = [], 0
    for i in kept:
        shown += ["..."] * (i > at) + [lines[i]]
        at = i + 1
    return shown + ["..."] * (at < len(lines))


# --- What came of the walks ----------------------------------------------------------------------


def show_walks() -> None:
    """The table of all four walks, a test view of each, and the head of a report."""
    heads = ("K", "1x", "routed", "gain over 1x", "won", "2x", "merged", "gain over 2x", "won")
    head = f"| scene | {' | '.join(heads)} | steps of 1x, routed, merged |"
    lines = [head, "|---|" + "---:|" * 10, *map(_row, WALKS)]
    replace(TUTORIAL, r"\| scene \| K \|.*?\n\n", "\n".join(lines) + "\n\n")
    _draw([_median_view(scene) for scene in WALKS], IMAGES / "tutorial-scenes.jpg")
    _photograph(ROOT / "results/square/report-square.html", IMAGES / "tutorial-report.jpg")


def _row(scene: str) -> str:
    rows = {r["method"]: r for r in read_main_table(ROOT / f"results/{scene}/tables/main.csv")}
    cells = [scene.replace("_", r"\_"), f"{rows['routed']['K']:.0f}"]
    for baseline, ours in (("baseline-1x", "routed"), ("baseline-2x", "merged")):
        row = rows[ours]
        assert row["gain_over"] == baseline
        gain = with_interval(row["gain_psnr"], row["gain_low"], row["gain_high"])
        cells += [f"{rows[baseline]['psnr']:.2f}", f"{row['psnr']:.2f}"]
        cells += [re.sub(r"([\[\]])", r"\\\1", gain), share(row["gain_won"], row["gain_views"])]
    steps = (f"{rows[name]['total_steps']:,.0f}" for name in ("baseline-1x", "routed", "merged"))
    return f"| {' | '.join([*cells, ', '.join(steps)])} |"


def _median_view(scene: str) -> tuple[str, list[Image.Image]]:
    """Truth, 1x and routed at the test view where the gain is the median."""
    results = ROOT / "results" / scene
    rows = {r["method"]: r for r in read_main_table(results / "tables/main.csv")}
    runs = results / scene / "kplanes/seed0"
    (routed,) = runs.glob("*/trunk-*/routed/evaluation")
    once = runs / f"baseline-{rows['baseline-1x']['steps']}/evaluation"
    (row,) = choose_rows(results / scene / "scene", once, routed, 1)
    return scene, [Image.fromarray((np.clip(i, 0, 1) * 255).astype(np.uint8)) for i in row.images]


def _draw(scenes: Sequence[tuple[str, list[Image.Image]]], out: Path, width: int = 1000) -> None:
    """Pictures of one height side by side, as many scenes in a row as fit; each with its words."""
    height, gap, text = 220, 4, 24
    font = ImageFont.load_default(15)
    canvas = Image.new("RGB", (width, len(scenes) * (height + text + gap)), "white")
    pen, x, y = ImageDraw.Draw(canvas), 0, 0
    for scene, pictures in scenes:
        scaled = [p.resize((round(p.width * height / p.height), height)) for p in pictures]
        if x and x + sum(p.width + gap for p in scaled) > width + gap:
            x, y = 0, y + height + text + gap
        for words, picture in zip((f"{scene}: truth", "1x", "routed"), scaled, strict=True):
            pen.text((x, y + 2), words, "black", font)
            canvas.paste(picture, (x, y + text))
            x += picture.width + gap
        x += 4 * gap
    canvas.crop((0, 0, width, y + height + text)).save(out, quality=88)


def _photograph(page: Path, out: Path) -> None:
    """The head of a page, as a browser shows it."""
    browser = os.environ.get("DAC_CHROMIUM", "chromium")
    png = out.with_suffix(".png")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=860,1640"]
    command = [browser, *options, f"--screenshot={png}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    Image.open(png).convert("RGB").save(out, quality=85)
    png.unlink()


# --- Files ---------------------------------------------------------------------------------------


def replace(page: Path, pattern: str, text: str) -> None:
    """Put text in the one place of a page that a pattern matches."""
    old = page.read_text(encoding="utf-8")
    new, count = re.subn(pattern, lambda _: text, old, flags=re.DOTALL)
    assert count == 1, f"{page.name} holds {count} times: {pattern}"
    page.write_text(new, encoding="utf-8")


def reduce(picture: Path, out: Path, width: int) -> None:
    """A picture for a page: so wide, in 256 colours."""
    image = Image.open(picture).convert("RGB")
    small = image.resize(
        (width, round(image.height * width / image.width)), Image.Resampling.LANCZOS
    )
    small.quantize(256, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main()
