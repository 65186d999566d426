"""The model card: what a model file is, how it was made, how to load it, and what it can't do."""

from __future__ import annotations

from dac.export.camera import Camera
from dac.export.contents import Contents

_CARD = """# {title}: {scene}

A radiance field of the scene `{scene}`: given a camera, it renders colour, depth and opacity. It is
{what} of {parameters:,} numbers, in one safetensors file of {size}
without any code in it, made with DaC {exported_by} (divide-and-conquer training of radiance
fields).{routed}

## How it was made

| | |
|---|---|
{facts}

## Load it

```python
from PIL import Image

import dac
from dac.export.camera import Camera, look_at

field = dac.load("{file}")
pose = look_at(eye={eye}, target={target}, up={up})
view = field.render(Camera.from_fov(pose, {fov:.0f}, width={width}, height={height}))
pixels = (view.rgb.clamp(0, 1) * 255).round().byte().numpy()  # (H, W, 3); also view.depth
Image.fromarray(pixels).save("view.png")
```

`field.render()` alone shows a training view; `field.render(width=...)` shows it in another size.
Loading takes DaC, PyTorch and what DaC itself needs, nothing of its workflow. Without Python, and
with the extra `app`, `dac render video {file} --out orbit.mp4` goes around the scene.

## Coordinates

Lengths are in scene units, cameras have OpenCV axes (x right, y down, z forward). {space}
`field.contents.world_from_data` is the similarity from the data set's own frame to the scene's.

## Limits

- It knows this one scene, in the light of its photos, and nothing of shapes or materials.
- Pictures are good near the cameras that it learnt from. Far from them, inside of things and behind
  them, it shows fog and floating specks.
- Depth is the mean along a ray: at edges, in glass and in fog it lies between surfaces.
- Colours are those of the training images, 8 bits deep: not linear light.
- What may be done with the scene's images may be done with this file: ask their licence.
"""

_ROUTED = """

Each expert has learnt a group of the training views; the router shows a camera's picture by the
expert of the views that are nearest to it, and near a border blends two. All {models} models
together take {share:.2f} times the bytes of one in float32; a picture away from borders takes the
time of one.{generalist}"""

_GENERALIST = """ The last of them is a generalist, which has learnt all views: it has a share in
the pictures of groups whose expert alone would err more, and in those far from all views."""


def model_card(contents: Contents, file: str, size: int, weights: int, parameters: int) -> str:
    """A model file's card.

    Args:
        contents: what the file says.
        file: its name.
        size: its bytes.
        weights: bytes of the model's tensors.
        parameters: numbers in the model, or in all experts of a routed one.

    Returns:
        Markdown.
    """
    about, camera, space = contents.about, contents.camera, contents.space
    rows = [row[:3] for row in camera.world_from_camera]
    eye = [row[3] for row in camera.world_from_camera]
    corners = [", ".join(f"{value:.3g}" for value in corner) for corner in space.box]
    where = f"({corners[0]}) to ({corners[1]})"
    held = (
        f"The scene lies in the box from {where}; outside of it, only the background is seen."
        if space.kind == "box"
        else f"Space is unbounded; the cube from {where} keeps its shape, what lies beyond is "
        "contracted and has less detail the further away it is."
    )
    decoder, routed = contents.settings.decoder, ""
    what = f"a K-Planes model ({decoder} decoder)"
    if contents.router is not None:
        count, models = contents.router.count, contents.router.models
        what = f"a router and {models} experts, K-Planes models ({decoder} decoder)"
        share = weights * models / (4 * parameters)
        generalist = _GENERALIST if models > count else ""
        routed = _ROUTED.format(models=models, share=share, generalist=generalist)
    return _CARD.format(
        title=about.title,
        scene=about.scene,
        what=what,
        routed=routed,
        parameters=parameters,
        size=f"{size / 1e6:.2f} MB",
        exported_by=about.exported_by,
        facts="\n".join(f"| {name} | {value} |" for name, value in _facts(contents)),
        file=file,
        eye=_vector(eye),
        target=_vector([value + row[2] for value, row in zip(eye, rows, strict=True)]),
        up=_vector([-row[1] for row in rows]),
        fov=Camera(**camera.model_dump()).fov_degrees,
        width=camera.width,
        height=camera.height,
        space=held,
    )


def _vector(values: list[float]) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in values) + ")"


def _facts(contents: Contents) -> list[tuple[str, str]]:
    """Names and values of the table."""
    about = contents.about
    background = ", ".join(f"{value:g}" for value in contents.background)
    score = "not measured"
    if about.psnr is not None:
        score = f"{about.psnr:.2f} dB over {about.scored_views} views that it never saw"
    steps = [f"{about.steps:,} in the last phase"] if about.steps else []
    if about.training_steps is not None:
        steps.append(f"{about.training_steps:,} in all, experts included")
    facts = [
        ("model", f"`{about.model}`: {about.title}"),
        (
            "scene's training views",
            f"{about.views} of {contents.camera.width} x {contents.camera.height}",
        ),
        ("steps", ", ".join(steps) or "not recorded"),
        ("seed", str(about.seed)),
        ("test PSNR", score),
        ("background", f"rgb {background}"),
        ("trained with", ", ".join(f"{name} {v}" for name, v in sorted(about.versions.items()))),
        ("commit", f"`{about.commit}`" if about.commit else "not recorded"),
        ("SHA-256 of the weights", f"`{contents.weights_sha256}`"),
    ]
    if about.division is not None:
        divided = f"{about.division}, K = {about.K}"
        facts.insert(1, ("division", divided + (f", {about.mode} mode" if about.mode else "")))
    return facts
