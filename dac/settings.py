"""Settings: one frozen model per stage; `dac.configuration` is all of them together.

Values are strict: an unknown key, a wrong type, NaN or a number written in a way that YAML reads as
text is refused with the key's name.

This module holds data and its limits only, no behaviour: a stage's resolved values are frozen into
`results/{scene}/settings/{stage}.json` before it runs, so a job depends on its values and not on
this file.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dac.errors import UserError
from dac.storage.yaml_files import refuse_odd

Positive = Annotated[float, Field(gt=0, le=1e9)]
Weight = Annotated[float, Field(ge=0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Side = Annotated[int, Field(ge=2, le=10**9)]
Whole = Annotated[int, Field(ge=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
GroupCount = Annotated[int, Field(ge=1, le=1000)]
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9)]
Vector3 = tuple[Coordinate, Coordinate, Coordinate]
# A path that every file system can hold, without control characters.
_PART = r"[^/\x00-\x1f\x7f]{1,255}"
PathText = Annotated[str, Field(max_length=1024, pattern=rf"^/*{_PART}(/+{_PART})*/*$")]

Format = Literal["blender", "nerfstudio", "colmap", "nerfpp", "nsvf", "photos", "blend", "video"]
Division = Literal[
    "azimuth", "azimuth-quantile", "azimuth-overlap", "louvain", "spectral", "random", "single"
]
GRAPH_DIVISIONS: tuple[Division, ...] = ("louvain", "spectral")  # they read the covisibility
CONTROLS: tuple[Division, ...] = ("single", "random")  # divisions that mean nothing
Mode = Literal["paper", "corrected"]  # of distillation
Conquer = Literal["paper", "corrected", "merged", "routed"]
Study = Literal[
    "models",
    "main",
    "equal_path",
    "controls",
    "partitions",
    "overlap",
    "schedule",
    "division",
    "convergence",
]


class Section(BaseModel):
    """Base of every section: unknown keys, NaN and later changes are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class RenderSettings(Section):
    """Rendering a `.blend` file: views on the upper hemisphere by farthest point sampling."""

    train_views: Annotated[int, Field(ge=1, le=100_000)] = Field(
        180, description="more of them keep those that are there"
    )
    test_views: Annotated[int, Field(ge=1, le=100_000)] = Field(
        200, description="as `train_views`; from candidates of their own"
    )
    size: Annotated[int, Field(ge=2, le=12_000)] = Field(
        800, description="pixels, width and height of a view"
    )
    camera_angle_x: Annotated[float, Field(ge=0.01, le=3)] = Field(
        0.6911112, description="field of view, radians; the default is NeRF-synthetic's"
    )
    centre: Vector3 = Field(
        (0.0, 0.0, 0.0), description="what all cameras look at, in the file's units"
    )
    radius: Positive = Field(
        4.0311289, description="of the hemisphere, in the file's units; default: NeRF-synthetic's"
    )
    candidates: Annotated[int, Field(ge=1, le=10**6)] = Field(
        20_000, description="camera positions, uniform on the hemisphere, to choose from"
    )
    minimum_elevation: Annotated[float, Field(ge=0, lt=90)] = Field(
        0.0, description="degrees above the horizon"
    )
    samples: Annotated[int, Field(ge=1, le=10**6)] = Field(
        128, description="of Cycles, a pixel; nothing is denoised"
    )
    seed: Seed = Field(0, description="of the cameras and of Cycles")
    chunk: Annotated[int, Field(ge=1, le=100_000)] = Field(20, description="views a job")
    executable: PathText = Field(
        "blender", description="Blender, or a Python that has bpy; changed, nothing runs again"
    )


class VideoSettings(Section):
    """Choosing frames of a video: sharp ones, evenly spaced in motion."""

    frames: Annotated[int, Field(ge=2, le=10_000)] = Field(
        150, description="photos that are wanted; fewer where the camera turns very fast"
    )
    minimum_sharpness: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="share of its neighbours' sharpness below which a photo is left out"
    )
    longest_side: Annotated[int, Field(ge=64, le=12_000)] = Field(
        1600, description="pixels; larger frames are reduced to it"
    )


class SfmSettings(Section):
    """Structure from motion on a folder of photos."""

    matching: Literal["auto", "exhaustive", "sequential"] = Field(
        "auto", description="pairs to match; auto: by the number of images"
    )
    exhaustive_up_to: Count = Field(
        400, description="`auto` matches all pairs up to this many images"
    )
    sequential_overlap: Count = Field(15, description="neighbours matched in sequential mode")
    mapping: Literal["incremental", "global"] = Field("incremental", description="COLMAP mapper")
    camera: Literal["single", "per-folder"] = Field(
        "single", description="one camera for all photos, or one a folder"
    )
    camera_model: Literal[
        "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"
    ] = Field("OPENCV", description="COLMAP camera model")
    max_image_size: Annotated[int, Field(ge=64, le=10**9)] = Field(
        1600, description="pixels, longer side"
    )
    max_features: Annotated[int, Field(ge=64, le=10**9)] = Field(
        4096, description="SIFT features an image"
    )
    minimum_registered: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="fraction of the photos that the largest model must hold"
    )
    seed: Seed = Field(0, description="of RANSAC")


class PointsSettings(Section):
    """Triangulation with the poses fixed, where a data set brings no points."""

    neighbours: Count = Field(12, description="views matched with each view, nearest by pose")
    max_features: Annotated[int, Field(ge=64, le=10**9)] = Field(
        4096, description="SIFT features an image"
    )
    max_reprojection_error: Positive = Field(4.0, description="pixels")


class SceneSettings(Section):
    """From images and cameras to the arrays that training reads."""

    downscale: Count = Field(1, description="images are reduced by this factor (area average)")
    split: Literal["given", "every-8th", "fraction", "list", "farthest-point"] | None = Field(
        None, description="default: as the data set gives it, else every 8th view is a test view"
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(0.125, description="split: fraction")
    test_list: PathText | None = Field(
        None, description="split: list; a text file, one image name a line"
    )
    train_views: Count = Field(
        180, description="split: farthest-point; well spread over all of the data set's cameras"
    )
    test_views: Count = Field(200, description="split: farthest-point; well spread over the others")
    exclude: PathText | None = Field(None, description="a text file of image names to leave out")
    masks: PathText | None = Field(
        None, description="folder of masks named as the images; white is used"
    )
    background: Literal["white", "black"] = Field("white", description="behind RGBA images at test")
    space: Literal["auto", "box", "contraction"] = Field(
        "auto", description="auto: box for Blender data sets, else contraction"
    )
    box: tuple[Vector3, Vector3] | None = Field(None, description="corners of the bounded box")
    near: Positive | None = Field(None, description="default: Blender 2, else from the points")
    far: Positive | None = Field(None, description="default: Blender 6, else 1000")
    orientation: Literal["auto", "keep"] = Field(
        "auto", description="auto: turn so that +z is up (data sets other than Blender)"
    )
    recentre: bool | None = Field(None, description="default: all but Blender data sets")

    @model_validator(mode="after")
    def _consistent(self) -> SceneSettings:
        if self.split == "list" and self.test_list is None:
            raise ValueError("split 'list' needs test_list")
        if self.near is not None and self.far is not None and self.near >= self.far:
            raise ValueError("near must be below far")
        if self.box is not None and any(a >= b for a, b in zip(*self.box, strict=True)):
            raise ValueError("box needs its lower corner first")
        return self


class DivideSettings(Section):
    """From views to K groups."""

    minimum_views: Count = Field(4, description="a smaller group is an error")
    maximum_share: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="largest share of the views that one group may hold"
    )
    overlap_degrees: Annotated[float, Field(gt=0, le=360)] = Field(
        120.0, description="width of a sector for azimuth-overlap"
    )
    louvain_resolution: Positive = Field(
        1.0, description="above 1: more, smaller communities before they are brought to K"
    )
    seed: Seed = Field(0, description="of Louvain, spectral clustering and the random division")


class SpecialistSettings(Section):
    """Experts that stay: they grow from a shared trunk, and one picture is made of them."""

    trunk: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.25, description="share of an expert's steps that all make together, on all views"
    )
    blend: Annotated[float, Field(ge=0, le=1)] = Field(
        0.2, description="width of the stretch on either side of a border where two experts blend"
    )
    distill_steps: Whole = Field(
        0,
        description="of `merged` models: so many steps in which the experts teach their mean, in "
        "`corrected` mode, before it is fine-tuned",
    )
    packed_size: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        1.3,
        description="bytes of the routed model at most, in units of one expert in float32: its "
        "planes have 8 bits a number, coarser ones where that takes more; null: all in float32",
    )


class ModelSettings(Section):
    """K-Planes: three feature planes at several scales, and two proposal levels."""

    name: Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9][a-z0-9-]*$")] = Field(
        "kplanes", description="stands in the results' paths; give a variant its own name"
    )
    decoder: Literal["hybrid", "explicit"] = Field(
        "hybrid", description="small networks after the planes, or a linear colour basis"
    )
    resolution: Side = Field(128, description="side of the coarsest plane")
    scales: tuple[Count, ...] = Field(
        (1, 2, 4), description="sides of the planes, as multiples of resolution"
    )
    channels: Count = Field(32, description="features of a plane at one scale")
    proposal_resolutions: tuple[Side, Side] = Field(
        (64, 128), description="side of the planes of the two proposal levels"
    )
    proposal_channels: Count = Field(8, description="features of a proposal plane")
    proposal_samples: tuple[Count, Count] = Field(
        (256, 128), description="samples a ray of the two proposal levels"
    )
    samples: Count = Field(48, description="samples a ray of the field")
    hidden: Count = Field(64, description="width of the hybrid decoder's layers")
    geometry_features: Count = Field(
        15, description="passed from the density to the colour network"
    )
    colour_layers: Count = Field(2, description="hidden layers of the hybrid colour network")
    explicit_layers: Count = Field(4, description="hidden layers of the explicit colour basis")
    explicit_hidden: Count = Field(128, description="width of the explicit colour basis")


class TrainSettings(Section):
    """Training on images: experts and the baseline (and, but for its own keys, fine-tuning)."""

    steps: Count = Field(30_000, description="an expert, and the 1x baseline")
    rays: Count = Field(4096, description="rays a step")
    learning_rate: Positive = Field(1.0e-2, description="peak, after the warm-up")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        description="cosine: each run has a cosine over its own steps, so the 2x baseline is "
        "trained from scratch; constant: the 2x baseline continues the 1x",
    )
    warmup_steps: Whole = Field(512, description="linear")
    adam_eps: Positive = Field(1.0e-15, description="epsilon of Adam")
    plane_tv: Weight = Field(1.0e-4, description="weight of the field's total variation")
    proposal_tv: Weight = Field(1.0e-4, description="weight of the proposals' total variation")
    distortion: Weight = Field(1.0e-3, description="weight (mip-NeRF 360)")
    interlevel: Weight = Field(1.0, description="weight of the histogram loss on the proposals")
    anneal_slope: Positive = Field(10.0, description="of the annealing of the proposal weights")
    anneal_steps: Whole = Field(1000, description="steps over which they are annealed")
    proposal_update_every: Count = Field(5, description="proposals learn every n-th step at last")
    proposal_update_ramp: Whole = Field(
        5000, description="steps over which the interval grows from 1"
    )
    background: Literal["random", "white", "black"] = Field(
        "random", description="behind RGBA images in training: one colour a batch"
    )
    curve_points: Count = Field(20, description="how often a run measures PSNR on held-out pixels")
    curve_rays: Count = Field(4096, description="held-out pixels of that measurement")
    checkpoint_seconds: Positive = Field(60.0, description="a killed job loses at most this much")


class PaperWeights(Section):
    """Loss weights of the paper's conquer phase, as its authors' code sets them."""

    histogram: Weight = Field(0.3, description="Eq. 7, on raw alpha")
    colour: Weight = Field(0.2, description="Eq. 6, unweighted")
    alpha: Weight = Field(0.2, description="Eq. 5")
    rendered: Weight = Field(0.3, description="rendered colour, student against expert")


class CorrectedWeights(Section):
    """Loss weights of the corrected conquer phase."""

    histogram: Weight = Field(1.0, description="Eq. 7, on weights")
    colour: Weight = Field(0.5, description="Eq. 6, weighted by the expert's weights")
    alpha: Weight = Field(0.5, description="Eq. 5")
    rendered: Weight = Field(1.0, description="rendered colour, student against expert")
    accumulation: Weight = Field(0.1, description="rendered opacity, student against expert")


class DistillSettings(Section):
    """The conquer phase (Eq. 5 to 8)."""

    steps: Count = Field(30_000, description="of distillation")
    rays: Count = Field(4096, description="rays a step")
    learning_rate: Positive = Field(1.0e-2, description="peak, after the warm-up")
    warmup_steps: Whole = Field(512, description="linear")
    horizon: Count | None = Field(
        None, description="steps that the cosine spans; default: this phase's own steps"
    )
    paper: PaperWeights = Field(PaperWeights(), description="weights in `paper` mode")
    corrected: CorrectedWeights = Field(
        CorrectedWeights(), description="weights in `corrected` mode"
    )
    novel_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of rays from views interpolated between neighbours of one group"
    )


class FinetuneSettings(Section):
    """Fine-tuning of the distilled model on the images."""

    steps: Count = Field(30_000, description="on the images")
    learning_rate: Positive = Field(1.0e-2, description="peak, after the warm-up")
    warmup_steps: Whole = Field(512, description="linear")
    start: Literal["fresh", "continued"] = Field(
        "fresh",
        description="fresh: a new optimiser and a cosine over this phase; continued: the "
        "distillation's optimiser, and its schedule goes on (needs distill.horizon)",
    )


class EvaluateSettings(Section):
    """Rendering and scoring the test views."""

    test_views: Count | None = Field(
        None, description="evenly spaced test views that are scored; default: all"
    )
    chunk_rays: Count = Field(8192, description="rays rendered at once; bounds the memory")
    pictures: Whole = Field(8, description="views saved as PNG with depth")
    expert_stride: Count = Field(
        1, description="every n-th pixel, both ways, where an expert is scored on others' views"
    )


class ReportSettings(Section):
    """Tables and figures."""

    crops: Count = Field(2, description="test views of a scene in the qualitative figure")
    dpi: Annotated[int, Field(ge=50, le=2400)] = Field(150, description="of the PNG figures")
    paper_values: bool = Field(
        False,
        description="print the paper's values beside ours where a scene is called as one of its; "
        "only for its own scenes at its own size",
    )


S = TypeVar("S", bound=BaseModel)
_NUMBER_AS_TEXT = re.compile(r"^[+-]?\d+(\.\d*)?[eE][+-]?\d+$")


def validate(model: type[S], data: Any, source: str) -> S:
    """Check plain data against a settings model.

    Args:
        model: the settings model.
        data: what YAML or JSON gave.
        source: the file, for the message.

    Raises:
        UserError: names the file and the first key at fault.
    """
    refuse_odd(data, source)
    try:
        # Through JSON, so that strict mode takes a list for a tuple but never text for a number.
        return model.model_validate_json(json.dumps(data, allow_nan=True))
    except ValidationError as error:
        raise _first_fault(error, source) from None


def _first_fault(error: ValidationError, source: str) -> UserError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "(top level)"
    value, kind = first.get("input"), first["type"]
    if kind == "extra_forbidden":
        return UserError(f"{source}: {key}", "unknown key", "check its spelling")
    if kind == "missing":
        return UserError(f"{source}: {key}", "missing", "add this key")
    if isinstance(value, str) and _NUMBER_AS_TEXT.match(value) and math.isfinite(float(value)):
        return UserError(
            f"{source}: {key}",
            f"'{value}' is text to YAML, not a number",
            f"write {float(value)!r} (YAML 1.1 wants a dot: 1.0e-2)",
        )
    what = first["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(value, dict | list) else f" (got {value!r})"
    return UserError(f"{source}: {key}", f"{what}{shown}", "see docs/settings.md")
