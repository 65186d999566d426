"""What `dac new` proposes for a data set: its decisions, in sentences and as a configuration."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dac.cli.sizes import BOXED, FEWEST_LOOKS, FEWEST_PARAMETERS, SIZES, SizeName, Sizes
from dac.divide.groups import FEW_VIEWS, MOST_GROUPS, VIEWS_A_GROUP, groups_for
from dac.errors import UserError
from dac.settings import GRAPH_DIVISIONS, Conquer, Division, SpecialistSettings

if TYPE_CHECKING:
    from dac.scenes.recognise import DataSet

FEWEST_VIEWS_A_GROUP = 4  # the default of divide.minimum_views
Goal = Literal["plain", "divide", "study"]


@dataclass(frozen=True)
class _Made:
    """What is made of a scene.

    Attributes:
        modes: how one model is made of experts; none: one model learns from all views.
        study: whether baselines of once and twice the steps stand beside it.
        sections: of the configuration that say its size.
    """

    modes: tuple[Conquer, ...]
    study: bool = False
    sections: tuple[str, ...] = ("model", "train", "evaluate")


_MADE: dict[Goal, _Made] = {
    "plain": _Made(()),
    "divide": _Made(("routed",)),
    "study": _Made(
        ("merged", "routed"), True, ("model", "train", "distill", "finetune", "evaluate")
    ),
}
_MODES: dict[Conquer, str] = {
    "merged": "one set of weights",
    "routed": "all experts, in the bytes of one model",
}
# Of one model, in units of an expert's steps: the path of a merged model, and of the 2x baseline.
_PLAIN_PATH = 2
_TRUNK = "share of an expert's steps that all make together, on all views"
_CAMERAS = {
    "photos": "none yet; structure from motion finds them from the photos.",
    "video": "none yet; structure from motion finds them from the frames.",
    "blend": "spread over the upper hemisphere.",
}
_DIVISIONS: dict[Division, str] = {
    "azimuth": "sectors around the object, which is in the middle",
    "azimuth-quantile": "sectors around the object, of equally many views",
    "azimuth-overlap": "overlapping sectors around the object",
    "louvain": "communities of views that see the same points, for a real place",
    "spectral": "clusters of views that see the same points, for a real place",
    "random": "a control: groups that mean nothing",
    "single": "a control: one group of all views",
}


@dataclass(frozen=True)
class Proposal:
    """What the configuration of a scene will say, and why.

    Attributes:
        scene: its name.
        found: its data set.
        goal: what is made of it.
        size: the name of its sizes.
        downscale: by which images are reduced.
        division, K: how the views are divided, into how many groups.
        why_division, why_groups: clauses.
        blender: the program that renders a `.blend` file; None for the one on the PATH.
    """

    scene: str
    found: DataSet
    goal: Goal
    size: SizeName
    downscale: int
    division: Division
    K: int
    why_division: str
    why_groups: str
    blender: str | None = None

    @property
    def sizes(self) -> Sizes:
        return SIZES[self.size]

    @property
    def results(self) -> str:
        return f"results/{self.scene}{'_preview' if self.size == 'preview' else ''}"

    @property
    def _sections(self) -> dict[str, dict[str, Any]]:
        """The sizes' sections, by name."""
        sections = self.sizes.sections(self.found.format)
        if not self._made.modes:
            sections["train"]["steps"] *= _PLAIN_PATH
        return {name: sections[name] for name in self._made.sections}

    @property
    def _made(self) -> _Made:
        return _MADE[self.goal]

    def sentences(self, path: Path) -> Iterator[str]:
        """What was found, and what will be done."""
        found = self.found
        yield f"{path} is {found.kind}: format {found.format}."
        yield f"Images: {_images(found)}."
        yield from found.remarks
        yield f"Cameras: {_CAMERAS.get(found.format, 'they came with the images.')}"
        yield f"Pixels: {self._pixels()}"
        yield f"Training: {self._training()}"
        yield f"Proportions: {self._proportions()}"
        yield f"Models: {self._models()}"
        if self._made.modes:
            yield f"Division: {self.division}: {self.why_division}."
            yield f"K = {self.K}: {self.why_groups}."
        yield (
            f"Results: {self.results}/, a folder of their own, so that no other scene's tables are "
            "replaced."
        )

    def _pixels(self) -> str:
        if self.found.format == "blend":
            render = self.sizes.render
            return f"{render.size} x {render.size}, rendered with {render.samples} samples each."
        side = f"at most {self.sizes.longest_side} a side suit {self.sizes.suits}"
        if self.downscale == 1:
            return f"as they are; {side}."
        further = (
            f", and {self._suitable()} the model and its steps" if self._is_reduced_further else ""
        )
        return f"reduced by {self.downscale} to {_text(self._size)}, since {side}{further}."

    @property
    def _size(self) -> tuple[int, int]:
        """Of the images that are trained on."""
        if self.found.format == "blend":
            return self.sizes.render.size, self.sizes.render.size
        assert self.found.size is not None
        return _reduced(self.found.size, self.downscale)

    @property
    def _is_reduced_further(self) -> bool:
        """Whether a side of so many pixels would have been small enough."""
        return max(self.found.size or (0,)) <= (self.downscale - 1) * self.sizes.longest_side

    def _suitable(self) -> str:
        most = self.sizes.proportions(self.found.format).most_pixels
        return f"{most / 1e6:.1f} million in all"

    def _proportions(self) -> str:
        """Parameters and looks, each beside the paper's, and what to do where there are few."""
        given, pixels = self.sizes.proportions(self.found.format), _pixels(self.found, self._size)
        path = 1 if self._made.modes else _PLAIN_PATH
        parameters, looks = given.parameters / pixels, path * given.rays / pixels
        text = (
            f"{parameters:.2g} parameters a training pixel (the paper's model: 0.3), each seen "
            f"{looks:.1f} times{' in 1x' if self._made.modes else ''} (the paper's: 1.1)."
        )
        if not self.sizes.for_good:
            return f"{text} Enough for a look, too few to judge by."
        few = [
            f"{key} for {what}"
            for key, what, value, least in (
                ("model.resolution", "more parameters", parameters, FEWEST_PARAMETERS),
                ("train.steps", "more looks", looks, FEWEST_LOOKS),
            )
            if value < least
        ]
        return f"{text} That is little: raise {' and '.join(few)}." if few else text

    def _models(self) -> str:
        """What is made, and after how many steps with the experts side by side."""
        sections, trunk = self._sections, SpecialistSettings().trunk
        once = sections["train"]["steps"]
        if not self._made.modes:
            return f"one, on all views, after {once:,} steps; --divide makes experts, too."
        path = {"routed": once, "merged": once + sections.get("finetune", {}).get("steps", 0)}
        models = [
            f"{mode} ({_MODES[mode]}) after {path[mode]:,} steps" for mode in self._made.modes
        ]
        return (
            f"{' and '.join(models)}, with the experts side by side; the first {trunk:.0%} of "
            "theirs they make together."
        )

    def _training(self) -> str:
        """Steps and rays, and what else there is."""
        train = self._sections["train"]
        others = [
            f"--size {name} is for {sizes.suits}"
            for name, sizes in SIZES.items()
            if name != self.size
        ]
        return (
            f"{self.size}: {train['steps']:,} steps of {train['rays']:,} rays, for "
            f"{self.sizes.suits}; {', '.join(others)}."
        )

    def configuration(self, out: Path) -> str:
        """The text of the file `out`."""
        found = self.found
        lines = [
            f"# {self.scene}: {found.kind}. Written by `dac new` or `dac train`.",
            "#",
            f"#   dac train {out}",
            "#",
            "# Paths are relative to the folder that this is called in. The rest is as",
            "# config/config.yaml has it; docs/settings.md knows every key.",
            f"results: {_scalar(self.results)}",
            *self._what_is_made(),
            "scenes:",
            f"  - name: {_scalar(self.scene)}",
            f"    path: {_scalar(str(found.path))}",
            f"    format: {found.format}",
            f"    division: {self.division}  # {self.why_division}",
            f"    K: {self.K}  # {self.why_groups}",
        ]
        if self.downscale > 1:
            lines += ["    settings:", "      scene:", f"        downscale: {self.downscale}"]
            lines[-1] += f"  # {self.sizes.longest_side} pixels a side at most"
            if self._is_reduced_further:
                lines[-1] += f", {self._suitable()}"
        if found.format == "blend":
            lines += ["    settings:", "      render:"]
            lines.append(f"        size: {self.sizes.render.size}")
            lines.append(f"        samples: {self.sizes.render.samples}")
            if self.blender:
                lines.append(f"        executable: {_scalar(self.blender)}")
        if self._made.modes:
            lines += ["", "specialists:", f"  trunk: {SpecialistSettings().trunk}  # {_TRUNK}"]
        if self.division in GRAPH_DIVISIONS and found.train >= self.K * VIEWS_A_GROUP:
            lines += ["divide:", f"  minimum_views: {FEW_VIEWS}  # fewer are few for an expert"]
        lines += ["", f"# Size: {self.size}, for {self.sizes.suits}."]
        return "\n".join(lines) + "\n" + self._sizes_text()

    def _what_is_made(self) -> list[str]:
        modes = f"modes: [{', '.join(self._made.modes)}]"
        if self._made.study:
            return [f"{modes}  # paper and corrected distil as the paper does"]
        what = "routed is its experts, merged one set of weights made of them"
        return [f"{modes}  # {what}", "studies: [models]  # main has baselines beside them"]

    def _sizes_text(self) -> str:
        """The sizes' sections, each key on a line."""
        text = ""
        for name, values in self._sections.items():
            note = "  # where modes has paper or corrected" if name == "distill" else ""
            text += f"{name}:{note}\n"
            for key, value in values.items():
                text += f"  {key}: {json.dumps(value)}\n"  # which YAML reads, too
        return text


def propose(
    scene: str,
    found: DataSet,
    goal: Goal,
    size: SizeName,
    division: Division | None,
    K: int | None,
    blender: str | None,
) -> Proposal:
    """Decide what was not asked for.

    Raises:
        UserError: too few views for two groups, or for as many as asked for.
    """
    if division is None:
        division = "azimuth" if found.format in BOXED else "louvain"
    if K is None:
        K, why_groups = _groups(found.train, division)
    else:
        why_groups = f"as you asked; about {found.train // K} training views a group"
    if goal == "plain":
        K = max(1, min(K, found.train // FEWEST_VIEWS_A_GROUP))
        if found.train < 2:
            what = f"{found.train + found.test} images, of which {found.train} would be trained on"
            raise UserError(found.path, what, "a model needs a dozen views at least")
    elif found.train < K * FEWEST_VIEWS_A_GROUP:
        what = f"{found.train} training views are too few for {K} groups"
        raise UserError(found.path, what, f"a group needs at least {FEWEST_VIEWS_A_GROUP}")
    downscale = 1 if found.size is None else _downscale(found, found.size, SIZES[size])
    why_division = _DIVISIONS.get(division, f"by {division}, as you asked")
    whys = (why_division, why_groups)
    return Proposal(scene, found, goal, size, downscale, division, K, *whys, blender)


def _downscale(found: DataSet, size: tuple[int, int], sizes: Sizes) -> int:
    """The least factor that suits a side and all pixels; for these, at most twice as much."""
    least = max(1, math.ceil(max(size) / sizes.longest_side))
    if not sizes.for_good:
        return least
    most = sizes.proportions(found.format).most_pixels
    fitting = (k for k in range(least, 2 * least) if _pixels(found, _reduced(size, k)) <= most)
    return next(fitting, 2 * least)


def _reduced(size: tuple[int, int], factor: int) -> tuple[int, int]:
    return max(1, size[0] // factor), max(1, size[1] // factor)


def _pixels(found: DataSet, size: tuple[int, int]) -> int:
    """Of all training views."""
    return found.train * size[0] * size[1]


def _groups(train: int, division: Division) -> tuple[int, str]:
    """K and why."""
    if division == "single":
        return 1, "since that is what a single group means"
    K = min(MOST_GROUPS, groups_for(train))
    each = train // K
    if each < VIEWS_A_GROUP:
        return K, f"the fewest, though {each} views a group are few: more images would help"
    limit = f", {MOST_GROUPS} groups at most unless you say --K" if K == MOST_GROUPS else ""
    return K, f"about {each} training views a group (some {VIEWS_A_GROUP} at least){limit}"


def _images(found: DataSet) -> str:
    parts = f"{found.train} to train on, {found.test} to test on"
    count = found.train + found.test
    if found.size is None:
        return f"none yet; views are rendered first: {parts}"
    if found.format == "video":
        return f"none yet; about {count} sharp frames are taken out of the video first: {parts}"
    alpha = "with" if found.alpha else "without"
    return f"{count} of {_text(found.size)} pixels, {alpha} alpha: {parts}"


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _scalar(text: str) -> str:
    """A YAML scalar that is read as this text."""
    import yaml

    return yaml.safe_dump(text, allow_unicode=True, width=math.inf).removesuffix("\n...\n").strip()
