"""Mistakes in images, masks, lists and videos, and links, pipes and folders in their place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random

import hostile
import pictures
from bases import CLIPS
from case import Case, data_files

LINKS = {
    "link outside": "{outside}/secret{suffix}",
    "relative link outside": "../../../../../../etc/hostname",
    "link to /etc/passwd": "/etc/passwd",
    "link to /dev/zero": "/dev/zero",
    "link to itself": "{name}",
    "broken link": "nowhere",
    "link to a folder": "{outside}/images",
    "link within": "{other}",
}


def damage_picture(random: Random, root: Path, case: Case) -> str:
    files = data_files(root, ".png", ".jpg")
    if not files:
        return ""
    if random.random() < 0.2:  # all of them alike
        state = random.getstate()
        for file in files:
            random.setstate(state)
            done = pictures.damage(random, file, many=True)
        return f"all images: {done}"
    return pictures.damage(random, random.choice(files))


def damage_mask(random: Random, root: Path, case: Case) -> str:
    case.scene["masks"] = "masks"
    files = sorted(file for file in (root / "masks").rglob("*") if file.is_file())
    file = random.choice(files)
    if random.random() < 0.3:
        return replace_by(random, root, file, LINKS)
    return "mask " + pictures.damage(random, file)


def damage_list(random: Random, root: Path, case: Case) -> str:
    key = random.choice(["test_list", "exclude"])
    file = root / "lists" / {"test_list": "test.txt", "exclude": "exclude.txt"}[key]
    case.scene |= {key: f"lists/{file.name}"} | ({"split": "list"} if key == "test_list" else {})
    if random.random() < 0.2:
        return replace_by(random, root, file, ["link to itself", "broken link"])
    if random.random() < 0.3:
        done, data = hostile.damage_bytes(random, file.read_bytes())
    else:
        text = file.read_bytes().decode("utf-8", "replace")
        done, data = hostile.damage_text(random, text, [lambda t: t + "v0.png\n" * 50_000])
    file.write_bytes(data)
    return f"{file.name}: {done}"


def replace_by(random: Random, root: Path, file: Path, links: Iterable[str]) -> str:
    """A file replaced by one of some links, a folder, a pipe, or nothing."""
    what = random.choice([*links, "folder", "pipe", "gone", "sparse"])
    other = random.choice(data_files(root) or [file]).resolve()
    file.unlink()
    if what == "folder":
        file.mkdir()
    elif what == "pipe":
        os.mkfifo(file)
    elif what == "sparse":
        with file.open("wb") as target:
            target.truncate(2**34)
    elif what != "gone":
        names = {"outside": root / "outside", "suffix": file.suffix, "name": file.name}
        file.symlink_to(LINKS[what].format(**names, other=other))
    return f"{file.relative_to(root)}: {what}"


def damage_file(random: Random, root: Path, case: Case) -> str:
    files = data_files(root)
    if not files:
        return ""
    return replace_by(random, root, random.choice(files), LINKS)


def damage_folder(random: Random, root: Path, case: Case) -> str:
    """A whole folder moved, linked or filled with loops and odd names."""
    folders = sorted(f for f in (root / "data").rglob("*") if f.is_dir() and not f.is_symlink())
    folders.append(root / "data")
    folder = random.choice(folders)
    what = random.choice(["outside", "loops", "odd names", "gone", "file", "moved", "case"])
    if what == "outside" and folder.name != "data":
        kept = root / "outside" / "moved"
        folder.rename(kept)
        folder.symlink_to(random.choice([kept, root / "outside" / "images"]))
    elif what == "loops":
        for name, target in (("a", "."), ("b", "."), ("c", ".."), ("d.png", ".")):
            (folder / name).symlink_to(target)
    elif what == "odd names":
        for name in (
            b"caf\xe9.png",
            b"a\nb.png",
            b"\x1b[31m.jpg",
            b"-rf.png",
            b" .png",
            b"{x}.png",
        ):
            shutil.copy(root / "outside" / "secret.png", os.fsencode(folder) + b"/" + name)
    elif what == "gone":
        shutil.rmtree(folder)
    elif what == "file":
        shutil.rmtree(folder)
        folder.write_bytes(b"")
    elif what == "moved":
        shutil.move(folder, root / "data2")
        (root / "data").mkdir(exist_ok=True)
    else:
        for file in sorted(folder.iterdir()):
            file.rename(file.with_name(file.name.upper()))
    return f"{folder.relative_to(root)}: {what}"


def clip_of(case: Case) -> str:
    """Which of the videos a case is about."""
    return sorted(CLIPS)[case.number % len(CLIPS)]


def damage_clip(random: Random, root: Path, case: Case) -> str:
    file = root / "data" / clip_of(case)
    done, data = hostile.damage_bytes(random, file.read_bytes())
    file.write_bytes(data)
    return f"{file.name}: {done}"
