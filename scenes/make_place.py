"""Make the embedded place: photos of a village square, as from a walk around its fountain.

Run with a Python that has ``bpy`` and Pillow::

    python scenes/make_place.py --out scenes/village-square

Photos that are there already are kept, so an interrupted run can simply be started again.  The
poses are written beside the photos for tests only: the pipeline has to recover them by itself.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))

from blender_common import (
    Array,
    Builder,
    add_sun,
    hexa,
    load_viewpoints,
    material,
    missing_cameras,
    palette,
    render,
    rotation,
    save,
    start_scene,
    translation,
    value_noise,
    vary,
    world,
)

SEED = 20260
SIZE = (512, 384)  # pixels
FOCAL_35MM = 27  # millimetres on 35 mm film, which is 43.27 mm across its diagonal
FOCAL = FOCAL_35MM / 43.267 * math.hypot(*SIZE)  # pixels
PHOTOS = 72
SAMPLES = 9
QUALITY = 88

PLASTER = palette("e8d9b8", "d9a066", "c9785a", "b9c4a4", "e3c9a8", "a8b8c0", "dfb04f", "d8a9a0")
OAK = hexa("4a3020")
TERRACOTTA = palette("a5502f", "b8643c", "8f4229", "c27a4e", "7c3b2a")
SLATE = palette("5c6470", "4c5460", "707880", "606058")
STONE = palette("b5a78f", "9d9482", "c2b59b", "8c8578", "aa9a80")
BRICK = palette("8e4433", "a35340", "7a3b30", "b0634a", "6d3a35")
COBBLE = palette("8d8478", "7a746c", "9c917f", "6c6a6a", "a39883", "85786a")
LEAF = palette("4d7a2a", "5f8f33", "3c6624", "77a03c", "35582a")
FLOWER = palette("d62f4a", "e8557f", "f2c230", "f4f0e4", "8d4fc0", "f07a2a")
SHUTTER = palette("2f5d50", "7a2e2a", "2c4a70", "5d6b3a", "8a6a3c", "40586a", "6b3550", "386a6a")
IRON = hexa("1c1c20")


def make_materials() -> None:
    """Fill in the materials; all read the tint, most add noise in world or local space."""

    def grainy(
        name: str,
        scale: float,
        contrast: float,
        roughness: float,
        bump: float,
        dirt: float = 0.35,
        stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """A tinted matt surface with noise along its own axes and large stains on top."""
        s = material(name)
        tint, local = s.attribute("tint"), s.attribute("local", "Vector")
        fine = s.noise(s.scaled(local, stretch), scale, 5.0, 0.65)
        stains = s.noise(s.position(), 1.3, 4.0, 0.6, 0.6)
        shade = s.remap(fine, 0.28, 0.72, (1.0 - contrast, 1.0 + 0.4 * contrast))
        colour = s.mix(
            1.0, tint, s.node("CombineColor", {0: shade, 1: shade, 2: shade}).outputs[0], "MULTIPLY"
        )
        soiled = s.mix(1.0, colour, hexa("a08a70"), "MULTIPLY")
        colour = s.mix(s.remap(stains, 0.45, 0.68, (0.0, dirt)), colour, soiled)
        s.finish(s.principled(colour, roughness, Normal=s.bump(fine, bump)))

    grainy("stone", 14.0, 0.40, 0.85, 0.012, 0.6)
    grainy("cobble", 22.0, 0.40, 0.62, 0.010, 0.8)
    grainy("brick", 30.0, 0.45, 0.85, 0.006, 0.7)
    grainy("tile", 18.0, 0.40, 0.75, 0.006, 0.8)
    grainy("wood", 9.0, 0.55, 0.7, 0.006, 0.4, (0.35, 6.0, 6.0))
    grainy("cloth", 60.0, 0.25, 0.9, 0.002, 0.1)
    grainy("paint", 7.0, 0.25, 0.45, 0.002, 0.5, (0.5, 4.0, 4.0))
    grainy("fruit", 12.0, 0.25, 0.35, 0.002, 0.0)

    s = material("plaster")
    tint, place = s.attribute("tint"), s.position()
    cloudy = s.noise(place, 0.9, 6.0, 0.62, 0.8)
    fine = s.noise(place, 16.0, 4.0, 0.7)
    streaks = s.noise(s.scaled(place, (5.0, 5.0, 0.5)), 1.0, 4.0, 0.6)
    light = s.mix(0.35, tint, hexa("f2ead8"))
    dark = s.mix(1.0, tint, hexa("b39a80"), "MULTIPLY")
    colour = s.mix(s.remap(cloudy, 0.35, 0.65), dark, light)
    colour = s.mix(s.remap(streaks, 0.52, 0.72, (0.0, 0.55)), colour, dark)
    colour = s.mix(s.remap(fine, 0.35, 0.7, (0.30, 0.0)), colour, hexa("6a5a4a"))
    bare = s.noise(place, 1.7, 5.0, 0.6, 0.3)  # patches where the plaster has come off
    rubble = s.mix(s.remap(fine, 0.4, 0.6), hexa("8a6a50"), hexa("a8927a"))
    colour = s.mix(s.remap(bare, 0.655, 0.67), colour, rubble)
    s.finish(s.principled(colour, 0.9, Normal=s.bump(fine, 0.012)))

    s = material("earth")  # the joints between the cobbles
    fine = s.noise(s.position(), 9.0, 5.0, 0.7)
    colour = s.ramp(fine, [(0.3, hexa("3a3226")), (0.55, hexa("5c4f3b")), (0.7, hexa("55602f"))])
    s.finish(s.principled(colour, 0.95))

    s = material("meadow")
    place = s.position()
    fields = s.voronoi(place, 0.045)
    hue = s.node("SeparateColor", {0: fields}).outputs[0]
    ground = s.ramp(
        hue,
        [
            (0.0, hexa("5f7f35")),
            (0.25, hexa("84953f")),
            (0.45, hexa("b8a554")),
            (0.65, hexa("4f7030")),
            (0.85, hexa("9aa050")),
            (1.0, hexa("6d8a3c")),
        ],
    )
    fine = s.noise(place, 0.8, 6.0, 0.7)
    ground = s.mix(s.remap(fine, 0.3, 0.7, (0.65, 0.0)), ground, hexa("2f4a20"))
    s.finish(s.principled(ground, 0.95))

    s = material("mountain")
    place, normal = s.position(), s.node("NewGeometry").outputs["Normal"]
    steep = s.node("SeparateXYZ", {0: normal}).outputs[2]
    height = s.node("SeparateXYZ", {0: place}).outputs[2]
    rough = s.noise(place, 0.06, 8.0, 0.7)
    rock = s.ramp(rough, [(0.3, hexa("4c5768")), (0.5, hexa("7b8494")), (0.7, hexa("9a9a9c"))])
    snow = s.math("ADD", s.math("MULTIPLY", height, 0.014), s.math("MULTIPLY", rough, 1.6))
    snow = s.math("ADD", snow, s.math("MULTIPLY", steep, 0.5))
    colour = s.mix(s.remap(snow, 1.85, 2.05), rock, hexa("eef2f8"))
    wooded = s.mix(s.remap(rough, 0.4, 0.6), hexa("3d5546"), hexa("5a7058"))
    colour = s.mix(
        s.remap(s.math("ADD", height, s.math("MULTIPLY", rough, 40.0)), 34.0, 50.0), wooded, colour
    )
    colour = s.mix(0.30, colour, hexa("a9c0dc"))  # the air between
    s.finish(s.principled(colour, 1.0))

    s = material("foliage")
    tint = s.attribute("tint")
    front = s.node("BsdfDiffuse", {"Color": tint}).outputs[0]
    warm = s.mix(1.0, tint, hexa("f4ff9a"), "MULTIPLY")
    through = s.node("BsdfTranslucent", {"Color": warm}).outputs[0]
    s.finish(s.node("MixShader", {0: 0.35, 1: front, 2: through}).outputs[0])

    s = material("glass")
    tint = s.attribute("tint")
    patches = s.noise(s.position(), 2.5, 3.0)
    colour = s.mix(s.remap(patches, 0.35, 0.65), hexa("0c1318"), tint)
    s.finish(s.principled(colour, 0.12, Normal=s.bump(patches, 0.02)))

    s = material("water")
    ripples = s.noise(s.position(), 9.0, 3.0, 0.6, 1.0)
    colour = s.ramp(ripples, [(0.3, hexa("1d4a52")), (0.7, hexa("3f7f80"))])
    s.finish(s.principled(colour, 0.08, Normal=s.bump(ripples, 0.03)))

    s = material("jet")
    s.finish(s.principled(hexa("d8ecf2"), 0.15, Specular_IOR_Level=0.8))

    s = material("iron")
    fine = s.noise(s.position(), 30.0, 3.0)
    colour = s.mix(s.remap(fine, 0.5, 0.7, (0.0, 0.6)), s.attribute("tint"), hexa("5a3a28"))
    s.finish(s.principled(colour, 0.45, Metallic=0.6))

    s = material("brass")
    fine = s.noise(s.position(), 14.0, 4.0)
    colour = s.mix(s.remap(fine, 0.4, 0.7), hexa("d9a441"), hexa("7a7a48"))
    s.finish(s.principled(colour, s.remap(fine, 0.3, 0.7, (0.2, 0.5)), Metallic=1.0))

    s = material("lamp")
    s.finish(
        s.principled(hexa("fff0c0"), 0.2, Emission_Color=hexa("ffd890"), Emission_Strength=1.2)
    )
    s.no_lamp()

    s = material("print")  # posters, flags and signs: painted cells and bands on a tinted ground
    tint, local = s.attribute("tint"), s.attribute("local", "Vector")
    cells = s.voronoi(local, 5.0)
    edges = s.voronoi(local, 5.0, "Distance", feature="DISTANCE_TO_EDGE")
    vivid = s.node("HueSaturation", {"Saturation": 1.2, "Value": 0.8, "Color": cells}).outputs[0]
    colour = s.mix(0.5, tint, vivid)
    letters = s.noise(s.scaled(local, (1.0, 1.0, 1.0)), 18.0, 1.0)
    colour = s.mix(s.remap(letters, 0.58, 0.61), colour, hexa("221a18"))
    colour = s.mix(s.remap(edges, 0.03, 0.05, (1.0, 0.0)), colour, hexa("f3ead2"))
    s.finish(s.principled(colour, 0.7))


def make_sky(sun_azimuth: float) -> None:
    """Blue sky with fair-weather clouds: the only thing at infinity."""
    s = world()
    view = s.node("TexCoord").outputs["Generated"]
    up = s.node("SeparateXYZ", {0: view}).outputs[2]
    sky = s.ramp(
        up,
        [
            (0.0, hexa("e9e2d2")),
            (0.06, hexa("cfdde6")),
            (0.25, hexa("86b4e0")),
            (0.6, hexa("3f7fc8")),
        ],
    )
    # Clouds lie in a plane: seen at grazing angles towards the horizon they crowd together.
    flat = s.math("DIVIDE", 1.0, s.math("ADD", s.math("MAXIMUM", up, 0.0), 0.18))
    spread = s.node("CombineXYZ", {0: flat, 1: flat, 2: 1.0}).outputs[0]
    plane = s.node("VectorMath", {0: view, 1: spread}, operation="MULTIPLY").outputs[0]
    puffs = s.noise(plane, 1.7, 9.0, 0.58, 0.35)
    cover = s.remap(puffs, 0.50, 0.66)
    shading = s.noise(plane, 3.1, 6.0, 0.6)
    cloud = s.ramp(shading, [(0.35, hexa("b9c2d0")), (0.6, hexa("ffffff"))])
    sky = s.mix(cover, sky, cloud)
    # Only the camera needs to see every cloud; as a light, a smooth sky is the same and cheaper.
    smooth = s.ramp(up, [(0.0, hexa("d8d4cc")), (0.3, hexa("b4c8e0")), (0.7, hexa("8cb0dc"))])
    seen = s.node("LightPath").outputs["Is Camera Ray"]
    clear = s.node("Background", {"Color": sky, "Strength": 0.66}).outputs[0]
    filling = s.node("Background", {"Color": smooth, "Strength": 1.0}).outputs[0]
    s.finish(s.node("MixShader", {0: seen, 1: filling, 2: clear}).outputs[0])
    add_sun(sun_azimuth, 44.0, 4.2, hexa("ffdfb0"), 1.0)


def pave(b: Builder) -> None:
    """Cobbles in rings around the fountain, out to the houses; darker bands as rays."""
    rng = b.rng
    radius, centres, axes, sizes, angles = 1.9, [], [], [], []
    while radius < 13.5:
        depth = 0.135 + 0.02 * rng.random()
        around = int(2 * math.pi * radius / 0.165)
        a = (np.arange(around) + rng.random()) * 2 * np.pi / around
        a = a + rng.normal(0.0, 0.05, around) / around
        width = 2 * np.pi * radius / around * rng.uniform(0.86, 0.97, around)
        r = radius + rng.normal(0.0, 0.006, around)
        wavy = 0.03 * value_noise(np.stack([r * np.cos(a), r * np.sin(a)], 1) * 0.5, 3)
        centres.append(np.stack([r * np.cos(a), r * np.sin(a), wavy - 0.06], axis=1))
        tangent = np.stack([-np.sin(a), np.cos(a), 0 * a], axis=1)
        outward = np.stack([np.cos(a), np.sin(a), 0 * a], axis=1)
        up = np.tile([0.0, 0.0, 1.0], (around, 1)) + rng.normal(0.0, 0.03, (around, 3))
        axes.append(np.stack([tangent, -outward, up], axis=1))
        thick = rng.uniform(0.055, 0.075, around)
        sizes.append(np.stack([width, np.full(around, depth * 0.93), thick], axis=1))
        angles.append(np.stack([a, r], axis=1))
        radius += depth + 0.008
    polar = np.concatenate(angles)
    tints = vary(rng, COBBLE, len(polar), 0.22)
    ray = np.abs((polar[:, 0] * 8 / (2 * np.pi) + 0.5) % 1.0 - 0.5) * polar[:, 1] < 0.28
    band = np.abs(polar[:, 1] - 4.6) < 0.16
    tints[ray | band] *= 0.50
    tints[(np.abs(polar[:, 1] - 2.45) < 0.25)] *= [1.25, 1.05, 0.85]
    b.stones(
        np.concatenate(centres),
        np.concatenate(axes),
        np.concatenate(sizes),
        "cobble",
        np.clip(tints, 0, 1),
        inset=0.13,
    )
    b.lathe([(13.8, -0.035), (0.0, -0.035)], "earth", segments=64)


def window(b: Builder, x: float, z: float, w: float, h: float, kind: dict) -> None:
    """A window on a facade at y = 0 (x centre, z sill, metres) with what hangs about it."""
    rng = b.rng
    frame = vary(rng, hexa("e6dcc6") if rng.random() < 0.7 else OAK, 1, 0.1)[0]
    glow = vary(rng, palette("3a4a58", "5a4a38", "6a7880", "2a3038"), 1)[0]
    b.box((x, -0.01, z + h / 2), (w, 0.03, h), "glass", glow)
    for side in (-1, 1):
        b.box((x + side * w / 2, -0.05, z + h / 2), (0.09, 0.13, h + 0.1), "paint", frame)
    b.box((x, -0.05, z + h), (w + 0.16, 0.14, 0.10), "paint", frame)
    b.box((x, -0.09, z - 0.02), (w + 0.28, 0.22, 0.08), "stone", vary(rng, STONE, 1)[0])
    b.box((x, -0.04, z + h / 2), (0.05, 0.05, h), "paint", frame)
    for part in (0.36, 0.70):
        b.box((x, -0.04, z + h * part), (w, 0.045, 0.04), "paint", frame)
    if kind.get("shutters") is not None:
        colour = kind["shutters"]
        for side in (-1, 1):
            middle = x + side * (w / 2 + 0.05 + w * 0.25)
            open_by = rng.uniform(0.02, 0.30)
            with b.at(translation(middle, -0.05, z), rotation("z", side * open_by)):
                for plank in range(3):
                    offset = (plank - 1) * w * 0.16
                    b.box(
                        (offset, 0, h / 2),
                        (w * 0.15, 0.035, h * rng.uniform(0.97, 1.0)),
                        "paint",
                        vary(rng, colour, 1, 0.1)[0],
                    )
                for bar in (0.2, 0.8):
                    b.box((0, -0.03, h * bar), (w * 0.47, 0.03, 0.08), "paint", colour * 0.7)
    if rng.random() < kind.get("flowers", 0.6):
        b.box((x, -0.24, z - 0.02), (w + 0.1, 0.2, 0.17), "wood", vary(rng, OAK * 2, 1)[0])
        count = int(150 * w)
        spots = np.stack(
            [
                rng.uniform(-w / 2, w / 2, count) + x,
                rng.normal(-0.26, 0.07, count),
                z + 0.08 + np.abs(rng.normal(0.0, 0.10, count)),
            ],
            axis=1,
        )
        b.leaves(spots, 0.09, "foliage", vary(rng, LEAF, count, 0.2))
        blooms = count // 2
        spots = np.stack(
            [
                rng.uniform(-w / 2, w / 2, blooms) + x,
                rng.normal(-0.30, 0.08, blooms),
                z + 0.10 + rng.normal(0.06, 0.10, blooms),
            ],
            axis=1,
        )
        two = FLOWER[rng.permutation(len(FLOWER))[:2]]
        b.leaves(spots, 0.08, "foliage", vary(rng, two, blooms, 0.1))


def door(b: Builder, x: float, colour: Array, arched: bool) -> None:
    """A plank door in a stone surround, with steps."""
    rng = b.rng
    w, h = 1.05, 2.15
    for plank in range(6):
        b.box(
            (x + (plank - 2.5) * w / 6, -0.03, h / 2 + 0.15),
            (w / 6 - 0.012, 0.05, h),
            "paint",
            vary(rng, colour, 1, 0.12)[0],
        )
    for z in (0.55, 1.75):
        b.box((x, -0.065, z), (w * 0.9, 0.02, 0.07), "iron", IRON)
    b.ball((x + 0.38, -0.10, 1.2), 0.045, "brass")
    sides, heights = np.meshgrid([-1, 1], np.arange(7), indexing="ij")
    sides, heights = sides.ravel(), heights.ravel()
    count = len(sides)
    centres = np.stack(
        [x + sides * (w / 2 + 0.11), np.full(count, 0.02), 0.16 + heights * 0.34], axis=1
    )
    sizes = np.stack(
        [rng.uniform(0.20, 0.30, count), np.full(count, 0.32), rng.uniform(0.10, 0.14, count)],
        axis=1,
    )
    out = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    b.stones(centres, out, sizes, "stone", vary(rng, STONE, count, 0.2))
    if arched:
        angle = (np.arange(9) + 0.5) * np.pi / 9
        ring = np.stack(
            [x + 0.66 * np.cos(angle), 0 * angle + 0.02, 2.38 + 0.42 * np.sin(angle)], 1
        )
        along = np.stack([-np.sin(angle), 0 * angle, np.cos(angle)], 1)
        away = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)
        axes = np.stack([along, away, np.tile([0, -1.0, 0], (9, 1))], 1)
        b.stones(ring, axes, np.tile([0.21, 0.26, 0.13], (9, 1)), "stone", vary(rng, STONE, 9, 0.2))
        b.box((x, -0.02, 2.45), (w, 0.04, 0.45), "glass", hexa("7a5a2a"))
    else:
        b.box((x, -0.08, 2.42), (w + 0.6, 0.22, 0.22), "stone", vary(rng, STONE, 1)[0])
    for step in range(2):
        b.box(
            (x, -0.2 - 0.2 * (1 - step), 0.07),
            (1.7 - 0.3 * step, 0.5, 0.14 + 0.12 * step),
            "stone",
            vary(rng, STONE, 1)[0],
        )
    lamp = x + (w / 2 + 0.42) * (1 if rng.random() < 0.5 else -1)
    b.beam((lamp, 0, 2.3), (lamp, -0.3, 2.3), 0.03, 0.03, "iron", IRON)
    b.box((lamp, -0.3, 2.12), (0.15, 0.15, 0.22), "lamp")
    b.box((lamp, -0.3, 2.26), (0.24, 0.24, 0.10), "iron", IRON, taper=0.2)


def courses(
    b: Builder,
    x0: float,
    x1: float,
    z0: float,
    z1: float,
    size: tuple[float, float],
    name: str,
    colours: Array,
    keep: Callable[[Array, Array], Array] | None = None,
    thick: float = 0.05,
    spread: float = 0.2,
) -> None:
    """Courses of bonded stones or bricks on the plane y = 0, facing -y; ``keep`` selects (x, z)."""
    rng = b.rng
    rows = max(1, round((z1 - z0) / size[1]))
    tall = (z1 - z0) / rows
    centres, sizes = [], []
    for row in range(rows):
        cuts = np.arange(x0 - size[0] * (0.5 * (row % 2)), x1 + size[0], size[0])
        cuts = np.clip(cuts + rng.normal(0.0, 0.07 * size[0], len(cuts)), x0, x1)
        wide = np.diff(cuts)
        good = wide > 0.25 * size[0]
        middle = ((cuts[1:] + cuts[:-1]) / 2)[good]
        centres.append(np.stack([middle, 0 * middle, 0 * middle + z0 + (row + 0.5) * tall], 1))
        depth = thick * rng.uniform(0.75, 1.2, len(middle))
        sizes.append(np.stack([wide[good] * 0.96, 0 * middle + tall * 0.93, depth], 1))
    c, s = np.concatenate(centres), np.concatenate(sizes)
    if keep is not None:
        chosen = keep(c[:, 0], c[:, 2])
        c, s = c[chosen], s[chosen]
    out = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    b.stones(c, out, s, name, vary(rng, colours, len(c), spread))


def tiled(
    b: Builder,
    eave: Array,
    along: Array,
    slope: Array,
    colours: Array,
    keep: Callable[[Array, Array], Array] | None = None,
) -> None:
    """Rows of tiles from an eave's start along ``along`` and up ``slope`` (vectors, metres)."""
    rng = b.rng
    length, rise = np.linalg.norm(along), np.linalg.norm(slope)
    u, v = along / length, slope / rise
    out = np.cross(u, v)
    rows, columns = int(rise / 0.24) + 1, int(length / 0.20)
    j, i = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    x = (i + 0.5 + 0.5 * (j % 2)) * length / columns
    y = (j + 0.5) * rise / rows
    x, y = x.ravel(), y.ravel()
    good = x < length
    if keep is not None:
        good &= keep(x / length, y / rise)
    x, y = x[good], y[good]
    count = len(x)
    sag = 0.05 * value_noise(np.stack([x, y], 1) * 0.4 + rng.uniform(0, 50, 2), 5)
    centres = eave + x[:, None] * u + y[:, None] * v + (0.02 + sag)[:, None] * out
    tilt = 0.16 + rng.normal(0.0, 0.03, (count, 1))
    twist = rng.normal(0.0, 0.03, (count, 1))
    uu = u + twist * v
    vv = v - tilt * out - twist * u
    axes = np.stack([uu, vv, np.cross(uu, vv)], axis=1)
    sizes = np.stack(
        [np.full(count, length / columns * 0.95), np.full(count, 0.31), np.full(count, 0.035)],
        axis=1,
    )
    tints = vary(rng, colours, count, 0.2)
    moss = value_noise(np.stack([x, y], 1) * 0.8 + rng.uniform(0, 50, 2), 9) > 0.42
    tints[moss] = vary(rng, hexa("6f7440"), int(moss.sum()), 0.25)
    b.stones(centres, axes, sizes, "tile", tints, inset=0.10)


def timbers(b: Builder, x0: float, x1: float, z0: float, z1: float, posts: int, seed: int) -> None:
    """A storey of half-timbering at y = 0: rails, posts and braces that differ by bay."""
    rng = np.random.default_rng((SEED, seed))

    def beam(ax: float, az: float, bx: float, bz: float, width: float = 0.15) -> None:
        jitter = rng.normal(0.0, 0.012, 4)
        b.beam(
            (ax + jitter[0], -0.01, az + jitter[1]),
            (bx + jitter[2], -0.01, bz + jitter[3]),
            width * rng.uniform(0.9, 1.12),
            0.09,
            "wood",
            vary(b.rng, OAK, 1, 0.2)[0],
            up=(0, -1, 0),
        )

    beam(x0, z0 + 0.07, x1, z0 + 0.07, 0.20)
    beam(x0, z1 - 0.07, x1, z1 - 0.07, 0.20)
    edges = np.linspace(x0 + 0.08, x1 - 0.08, posts + 1)
    for edge in edges:
        beam(edge, z0, edge, z1, 0.17)
    for bay, (a, c) in enumerate(pairwise(edges)):
        style = rng.integers(4)
        if bay in (0, posts - 1) or style == 0:
            low, high = (a, c) if (bay + seed) % 2 else (c, a)
            beam(low, z0 + 0.1, high, z1 - 0.1, 0.13)
        elif style == 1:
            beam(a, z0 + 0.1, c, (z0 + z1) / 2, 0.12)
            beam(c, z0 + 0.1, a, (z0 + z1) / 2, 0.12)
        beam(a, (z0 + z1) / 2 + 0.15 * rng.normal(), c, (z0 + z1) / 2, 0.12)


def ivy(b: Builder, x: float, width: float, height: float, count: int) -> None:
    """Ivy up a facade at y = 0, thinning out in patches."""
    rng = b.rng
    spots = np.stack(
        [
            x + width * rng.uniform(-0.5, 0.5, 3 * count),
            0 * np.zeros(3 * count),
            height * rng.random(3 * count) ** 1.2,
        ],
        axis=1,
    )
    keep = value_noise(spots[:, [0, 2]] * 0.9 + rng.uniform(0, 50, 2), 7) + 0.25 > (
        0.7 * spots[:, 2] / height + 0.9 * np.abs(spots[:, 0] - x) / width - 0.25
    )
    spots = spots[keep][:count]
    spots[:, 1] = -0.05 - np.abs(rng.normal(0.0, 0.06, len(spots)))
    tints = vary(rng, palette("3d6b28", "56802f", "2f5524", "8a5a2c", "6d8f38"), len(spots), 0.22)
    b.leaves(spots, 0.13, "foliage", tints, np.tile([0.0, -1.0, 0.35], (len(spots), 1)), 0.45)


def house(b: Builder, angle: float, distance: float, h: dict) -> None:
    """A house whose facade faces the middle from ``distance`` metres at an azimuth in degrees."""
    rng = b.rng
    a = math.radians(angle)
    frame = np.eye(4)
    frame[:3, 0] = math.sin(a), -math.cos(a), 0.0
    frame[:3, 1] = math.cos(a), math.sin(a), 0.0
    frame[:3, 3] = distance * math.cos(a), distance * math.sin(a), 0.0
    with b.at(frame, rotation("z", math.radians(h.get("twist", 0.0)))):
        build_house(b, rng, h)


def build_house(b: Builder, rng: np.random.Generator, h: dict) -> None:
    """A house in its own frame: facade in the plane y = 0, looking to -y."""
    w, ground, upper, depth = h["width"], 2.9, h["upper"], 5.0
    wall, style = h["wall"], h["style"]
    jetty = 0.28 if style == "timber" else 0.0
    top = ground + upper
    b.box((0, depth / 2, ground / 2), (w, depth, ground), "plaster", wall)
    with b.at(translation(0, -jetty, 0)):
        b.box(
            (0, depth / 2 + jetty / 2, ground + upper / 2),
            (w, depth + jetty, upper),
            "plaster",
            wall,
        )

    # Openings come first, so that brick and stone can leave room for them.
    columns = h.get("columns", 3)
    spots = (np.arange(columns) - (columns - 1) / 2) * w / columns
    door_at = h.get("door", 0)
    holes: list[tuple[float, float, float, float]] = []
    kind = {"shutters": h.get("shutters"), "flowers": h.get("flowers", 0.6)}
    slim = 0.72 if kind["shutters"] is not None else 0.95
    for index, x in enumerate(spots):
        if index == door_at:
            door(b, x, h["door_colour"], h.get("arched", False))
            holes.append((x, 1.3, 0.85, 1.7))
        elif not h.get("shop"):
            window(b, x, 1.05, slim, 1.25, {**kind, "flowers": 0.4})
            holes.append((x, 1.65, 0.58, 0.80))
    with b.at(translation(0, -jetty, 0)):
        storeys = max(1, round(upper / 2.5))
        for storey in range(storeys):
            base = ground + upper * storey / storeys
            for x in spots:
                window(b, x, base + 0.75, slim, 1.2, kind)
                holes.append((x, base + 1.35, 0.58, 0.78))
            if style == "timber":
                timbers(
                    b, -w / 2, w / 2, base, base + upper / storeys, 2 * columns, h["seed"] + storey
                )
        if jetty:
            for x in np.linspace(-w / 2 + 0.2, w / 2 - 0.2, 2 * columns):
                b.beam(
                    (x, jetty + 0.02, ground - 0.45),
                    (x, 0.05, ground),
                    0.13,
                    0.15,
                    "wood",
                    vary(rng, OAK, 1)[0],
                )

    def free(x: Array, z: Array) -> Array:
        good = np.ones(len(x), dtype=bool)
        for cx, cz, rx, rz in holes:
            good &= (np.abs(x - cx) > rx) | (np.abs(z - cz) > rz)
        return good

    if style == "stone":
        courses(
            b,
            -w / 2,
            w / 2,
            0.0,
            top,
            (0.52, 0.29),
            "stone",
            STONE * h.get("shade", 1.0),
            free,
            0.06,
        )
    elif style == "brick":
        courses(b, -w / 2, w / 2, 0.6, top, (0.25, 0.085), "brick", BRICK, free, 0.035, 0.25)
        courses(b, -w / 2, w / 2, 0.0, 0.6, (0.5, 0.3), "stone", STONE, free, 0.09)
    else:
        courses(b, -w / 2, w / 2, 0.0, 0.75, (0.42, 0.25), "stone", STONE * 0.9, free, 0.08)
        if style == "plaster":  # quoins at the corners and a moulding between the storeys
            for side in (-1, 1):
                c = np.stack(
                    [
                        side * (w / 2 - 0.18) + 0.05 * (np.arange(18) % 2 * 2 - 1) * side,
                        np.zeros(18),
                        0.16 + np.arange(18) * top / 18,
                    ],
                    1,
                )
                out = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
                sizes = np.tile([0.40, top / 18 * 0.93, 0.07], (18, 1))
                b.stones(c, out, sizes, "stone", vary(rng, STONE, 18, 0.2))
            b.box((0, -0.05, ground), (w + 0.1, 0.16, 0.16), "stone", vary(rng, STONE, 1)[0])

    # Roof.  Ridge along the facade ("eaves") or away from it ("gable", "steps").
    over, rise = 0.35, h.get("rise", 2.6)
    colours = h.get("roof", TERRACOTTA)
    front = -jetty - over
    if h["ridge"] == "eaves":
        middle = (depth - jetty) / 2
        slope = np.array([0.0, middle - front, rise])
        left = np.array([-w / 2 - 0.25, front, top - 0.1])
        tiled(b, left, np.array([w + 0.5, 0, 0]), slope, colours)
        roof = [(front + 0.05, top - 0.12), (depth + over, top - 0.12), (middle, top + rise - 0.15)]
        turn = rotation("z", math.pi / 2) @ rotation("x", math.pi / 2)
        with b.at(turn):
            b.prism(roof, -w / 2 - 0.15, w / 2 + 0.15, "wood", OAK * 1.5)
        b.cylinder(
            (-w / 2 - 0.3, middle, top + rise - 0.08),
            (w / 2 + 0.3, middle, top + rise - 0.08),
            0.13,
            "tile",
            colours[0] * 0.9,
        )
        b.box((0, front + 0.03, top - 0.14), (w + 0.5, 0.10, 0.12), "wood", OAK * 1.3)
        if h.get("dormer"):
            for x in h["dormer"]:
                z = top + 0.55
                with b.at(translation(x, front + 0.75, z)):
                    b.box((0, 0.9, 0.45), (1.25, 1.8, 1.1), "plaster", wall)
                    window(b, 0, 0.12, 0.62, 0.75, {"shutters": None, "flowers": 0.0})
                    for side in (-1, 1):
                        start = np.array([side * 0.85, -0.22 if side < 0 else 1.6, 0.85])
                        tiled(
                            b,
                            start,
                            np.array([0, -side * 1.9, 0.0]),
                            np.array([-side * 0.85, 0, 0.62]),
                            colours,
                        )
                    with b.at(rotation("x", math.pi / 2)):
                        b.prism(
                            [(-0.72, 0.95), (0.72, 0.95), (0, 1.47)],
                            -1.6,
                            0.08,
                            "plaster",
                            wall * 0.9,
                        )
    else:
        half = w / 2 + 0.2
        for side in (-1, 1):
            low = np.array([side * half, front if side > 0 else depth, top - 0.15])
            run = np.array([0, (depth - front) * (1 if side > 0 else -1), 0.0])
            tiled(b, low, run, np.array([-side * half, 0, rise + 0.15]), colours)
        with b.at(translation(0, -jetty, 0), rotation("x", math.pi / 2)):
            b.prism(
                [(-w / 2, top), (w / 2, top), (0, top + rise)],
                -depth - jetty + 0.3,
                0.0,
                "plaster",
                wall,
            )
        with b.at(translation(0, -jetty, 0)):
            window(b, 0, top + 0.45, 0.7, 0.95, {"shutters": h.get("shutters"), "flowers": 0.5})
            if style == "timber":
                for side in (-1, 1):
                    b.beam(
                        (side * w / 2, -0.02, top),
                        (0, -0.02, top + rise),
                        0.2,
                        0.1,
                        "wood",
                        vary(rng, OAK, 1)[0],
                        up=(0, -1, 0),
                    )
                    b.beam(
                        (side * 0.62, -0.01, top),
                        (side * 0.62, -0.01, top + rise * (1 - 1.24 / w)),
                        0.14,
                        0.09,
                        "wood",
                        vary(rng, OAK, 1)[0],
                        up=(0, -1, 0),
                    )
                    b.beam(
                        (side * 0.62, -0.01, top + 0.1),
                        (side * w * 0.36, -0.01, top + rise * 0.27),
                        0.12,
                        0.09,
                        "wood",
                        vary(rng, OAK, 1)[0],
                        up=(0, -1, 0),
                    )
            elif h["ridge"] == "steps":
                steps = 6
                for step in range(steps):
                    high = top + rise * (step + 1) / steps + 0.25
                    for side in (-1, 1):
                        inner = w / 2 * (1 - (step + 1) / steps)
                        outer = w / 2 * (1 - step / steps) + 0.08
                        b.box(
                            (side * (inner + outer) / 2, 0.12, (high + top) / 2),
                            (outer - inner, 0.3, high - top),
                            "brick",
                            BRICK[step % 3],
                        )
                        b.box(
                            (side * (inner + outer) / 2, 0.12, high),
                            (outer - inner + 0.08, 0.4, 0.08),
                            "stone",
                            vary(rng, STONE, 1)[0],
                        )
                b.box((0, 0.12, top + rise + 0.45), (0.5, 0.34, 0.5), "brick", BRICK[0])
                b.ball((0, 0.12, top + rise + 0.85), 0.18, "brass")
                with b.at(translation(0, -0.03, 0)):
                    courses(
                        b,
                        -w / 2,
                        w / 2,
                        top,
                        top + rise + 0.2,
                        (0.25, 0.085),
                        "brick",
                        BRICK,
                        lambda x, z: (
                            (
                                np.abs(x)
                                < w
                                / 2
                                * (1 - np.floor((z - top - 0.25) / rise * steps).clip(0) / steps)
                                - 0.05
                            )
                            & ((np.abs(x) > 0.58) | (np.abs(z - top - 0.95) > 0.6))
                        ),
                        0.035,
                        0.25,
                    )
    # Chimney.
    x = w * rng.uniform(0.18, 0.32) * (1 if rng.random() < 0.5 else -1)
    y = depth / 2 + 0.5
    b.box((x, y, top + rise * 0.75), (0.6, 0.6, rise * 1.3), "brick", BRICK[1])
    with b.at(translation(x, y - 0.3, 0)):
        courses(
            b,
            -0.3,
            0.3,
            top + rise * 0.2,
            top + rise * 1.4,
            (0.25, 0.09),
            "brick",
            BRICK,
            None,
            0.03,
        )
    b.box((x, y, top + rise * 1.42), (0.78, 0.78, 0.12), "stone", STONE[1])
    for pot in (-0.15, 0.15):
        b.cylinder(
            (x + pot, y, top + rise * 1.42),
            (x + pot, y, top + rise * 1.42 + 0.4),
            0.10,
            "tile",
            TERRACOTTA[1],
            0.08,
        )

    if h.get("shop"):
        shop_front(b, [x for i, x in enumerate(spots) if i != door_at], w / columns, h)
    if h.get("ivy"):
        ivy(b, *h["ivy"])
    for _ in range(h.get("posters", 0)):
        x, z = rng.uniform(-w / 2 + 0.4, w / 2 - 0.4), rng.uniform(1.0, 2.3)
        if free(np.array([x]), np.array([z]))[0]:
            b.box(
                (x, -0.10, z),
                (0.5, 0.015, 0.7),
                "print",
                vary(rng, FLOWER, 1)[0],
                turn=(0, rng.normal(0, 0.04), 0),
            )
    if h.get("sign"):
        x = h["sign"] * w / 2
        b.beam((x, -jetty, 3.3), (x, -jetty - 1.0, 3.3), 0.04, 0.04, "iron", IRON)
        b.beam((x, -jetty, 3.75), (x, -jetty - 0.9, 3.32), 0.025, 0.025, "iron", IRON)
        b.box((x, -jetty - 0.62, 2.95), (0.05, 0.62, 0.55), "print", vary(rng, FLOWER, 1)[0])
        b.box((x, -jetty - 0.62, 2.95), (0.035, 0.72, 0.65), "wood", OAK)


def shop_front(b: Builder, spots: list[float], bay: float, h: dict) -> None:
    """Shop windows with wares behind them, under a striped awning."""
    rng = b.rng
    for x in spots:
        w = bay * 0.82
        b.box((x, -0.03, 1.45), (w, 0.04, 1.5), "glass", hexa("6a5030"))
        for side in np.linspace(-1, 1, 4):
            b.box((x + side * w / 2, -0.07, 1.45), (0.07, 0.1, 1.6), "paint", h["door_colour"])
        for z in (0.68, 1.75, 2.24):
            b.box((x, -0.07, z), (w + 0.1, 0.1, 0.09), "paint", h["door_colour"])
        b.box((x, -0.06, 0.38), (w, 0.08, 0.5), "paint", h["door_colour"] * 0.8)
        for ware in range(9):
            spot = x + (ware - 4) * w / 10
            b.ball(
                (spot, -0.07, 0.85 + 0.06 * rng.random()),
                (0.08, 0.05, 0.10),
                "fruit",
                vary(rng, FLOWER, 1, 0.2)[0],
                8,
            )
    left, right = min(spots) - bay / 2 + 0.05, max(spots) + bay / 2 - 0.05
    stripes = int((right - left) / 0.24)
    cuts = np.linspace(left, right, stripes + 1)
    for stripe, (a, c) in enumerate(pairwise(cuts)):
        colour = h.get("awning", hexa("b83a30")) if stripe % 2 else hexa("efe6d0")
        t = np.linspace(0, 1, 6)
        line = np.stack([-1.25 * t, 2.82 - 0.55 * t - 0.10 * np.sin(np.pi * t)], 1)
        grid = np.stack([np.c_[np.full(6, a), line], np.c_[np.full(6, c), line]], 1)
        b.surface(grid, "cloth", vary(rng, colour, 1, 0.08)[0])
        drop = np.array(
            [[[a, -1.25, 2.27], [c, -1.25, 2.27]], [[a, -1.27, 2.08], [c, -1.27, 2.08]]]
        )
        b.surface(drop, "cloth", vary(rng, colour, 1, 0.08)[0])
    for x in (left, right):
        b.beam((x, 0, 2.2), (x, -1.22, 2.26), 0.025, 0.025, "iron", IRON)


def gate_tower(b: Builder, angle: float, distance: float) -> None:
    """The town gate with its clock: the landmark at one end of the square."""
    rng = b.rng
    a = math.radians(angle)
    frame = np.eye(4)
    frame[:3, 0] = math.sin(a), -math.cos(a), 0.0
    frame[:3, 1] = math.cos(a), math.sin(a), 0.0
    frame[:3, 3] = distance * math.cos(a), distance * math.sin(a), 0.0
    warm = STONE * [1.05, 0.98, 0.88]
    with b.at(frame):
        half, gap, spring, depth, top = 2.3, 1.25, 2.5, 3.6, 8.4
        crown = spring + gap
        for side in (-1, 1):
            b.box(
                (side * (half + gap) / 2, depth / 2, crown / 2 + 0.1),
                (half - gap, depth, crown + 0.2),
                "stone",
                warm[1],
            )
        angles = np.linspace(0, np.pi, 17)
        arch = [(gap * math.cos(t), spring + gap * math.sin(t)) for t in angles]
        outline = [(half - 0.9, crown + 0.25), *arch, (-half + 0.9, crown + 0.25)]
        with b.at(rotation("x", math.pi / 2)):
            b.prism(outline[::-1], -depth, -0.01, "stone", warm[0])
        b.box(
            (0, depth / 2, (crown + 0.2 + top) / 2),
            (2 * half, depth, top - crown - 0.2),
            "stone",
            warm[1],
        )
        courses(
            b,
            -half,
            half,
            0.0,
            top,
            (0.55, 0.30),
            "stone",
            warm,
            lambda x, z: (
                ((np.abs(x) > gap + 0.2) | (z > spring))
                & (np.hypot(x, np.maximum(z - spring, 0)) > gap + 0.32)
                & (np.hypot(x, z - 6.6) > 1.15)
            ),
            0.07,
        )
        with b.at(translation(-half, 0, 0), rotation("z", -math.pi / 2), translation(-depth, 0, 0)):
            courses(b, 0, depth, 0.0, top, (0.55, 0.30), "stone", warm, None, 0.07)
        with b.at(translation(half, 0, 0), rotation("z", math.pi / 2)):
            courses(b, 0, depth, 0.0, top, (0.55, 0.30), "stone", warm, None, 0.07)
        t = (np.arange(13) + 0.5) * np.pi / 13
        middle = gap + 0.17
        ring = np.stack([middle * np.cos(t), 0 * t, spring + middle * np.sin(t)], 1)
        axes = np.stack(
            [
                np.stack([-np.sin(t), 0 * t, np.cos(t)], 1),
                np.stack([np.cos(t), 0 * t, np.sin(t)], 1),
                np.tile([0, -1.0, 0], (13, 1)),
            ],
            1,
        )
        b.stones(ring, axes, np.tile([0.33, 0.42, 0.14], (13, 1)), "stone", vary(rng, warm, 13))
        # The clock.
        with b.at(translation(0, 0.0, 6.6), rotation("x", math.pi / 2)):
            b.lathe(
                [(0, 0.10), (0.98, 0.10), (0.98, 0.10), (1.0, 0.0)],
                "paint",
                hexa("22385e"),
                segments=48,
            )
            b.lathe(
                [(0.98, 0.0), (0.98, 0.16), (0.98, 0.16), (1.14, 0.16), (1.14, 0.16), (1.14, 0.0)],
                "brass",
                segments=48,
            )
            b.lathe([(0.50, 0.11), (0.53, 0.125), (0.56, 0.11)], "brass", segments=48)
            for hour in range(12):
                with b.at(rotation("z", -hour * math.pi / 6)):
                    b.box((0, 0.78, 0.12), (0.07 if hour % 3 else 0.13, 0.26, 0.03), "brass")
            for turn, reach in ((-math.radians(305), 0.45), (-math.radians(60), 0.74)):
                with b.at(rotation("z", turn)):
                    b.box((0, reach / 2 - 0.08, 0.15), (0.06, reach + 0.16, 0.03), "brass")
            b.ball((0, 0, 0.15), 0.07, "brass")
        # Corbels, battlements and the spire.
        for face in range(4):
            with b.at(translation(0, depth / 2, 0), rotation("z", face * math.pi / 2)):
                side, out = (half, depth / 2) if face % 2 == 0 else (depth / 2, half)
                for x in np.linspace(-side, side, 9):
                    b.box(
                        (x, -out - 0.12, top - 0.15),
                        (0.2, 0.28, 0.36),
                        "stone",
                        vary(rng, warm, 1)[0],
                    )
                b.box((0, -out - 0.1, top + 0.1), (2 * side + 0.5, 0.35, 0.2), "stone", warm[2])
                for x in np.linspace(-side, side, 6):
                    b.box(
                        (x, -out - 0.1, top + 0.5),
                        (0.44, 0.3, 0.62),
                        "stone",
                        vary(rng, warm, 1)[0],
                    )
                corner_a = np.array([-side + 0.2, -out + 0.2, top + 0.3])
                rise = np.array([0, out - 0.2, 3.4])
                tiled(
                    b,
                    corner_a,
                    np.array([2 * side - 0.4, 0, 0]),
                    rise,
                    SLATE,
                    lambda u, v: np.abs(u - 0.5) < 0.5 * (1.02 - v),
                )
        apex = np.array([0.0, depth / 2, top + 3.6])
        up = np.array([0.0, 0.0, 1.0])
        b.cylinder(apex, apex + 1.2 * up, 0.05, "brass", end_radius=0.02)
        b.ball(apex + 0.45 * up, 0.16, "brass")
        with b.at(translation(*(apex + 0.95 * up)), rotation("x", math.pi / 2)):
            b.prism([(0, 0), (0.7, 0.16), (0, 0.34)], -0.01, 0.01, "print", FLOWER[0])
        # Lanterns and banners beside the arch.
        for side, colour in ((-1, hexa("a8242f")), (1, hexa("2b4f8a"))):
            x = side * 1.78
            b.beam((x, 0, 5.1), (x, -0.35, 5.1), 0.03, 0.03, "iron", IRON)
            b.beam((x - 0.36, -0.3, 5.1), (x + 0.36, -0.3, 5.1), 0.03, 0.03, "iron", IRON)
            with b.at(translation(x, -0.29, 0), rotation("x", math.pi / 2)):
                b.prism(
                    [(-0.33, 3.7), (0, 3.3), (0.33, 3.7), (0.33, 5.08), (-0.33, 5.08)],
                    0,
                    0.015,
                    "cloth",
                    colour,
                )
                b.prism(
                    [(-0.2, 4.2), (0, 3.95), (0.2, 4.2), (0, 4.75)],
                    0.015,
                    0.022,
                    "print",
                    hexa("e8c050"),
                )


def fountain(b: Builder) -> None:
    """Eight-sided basin, column with two bowls, jets and a golden cockerel on top."""
    rng = b.rng
    pale = STONE * [1.1, 1.08, 1.05]
    for step in range(2):
        b.lathe(
            [
                (2.15 - 0.3 * step, -0.1),
                (2.15 - 0.3 * step, 0.12 + 0.13 * step),
                (1.0, 0.12 + 0.13 * step),
            ],
            "stone",
            pale[step] * 0.8,
            segments=8,
            smooth=False,
        )
    for side in range(8):
        t = (side + 0.5) * math.pi / 4
        frame = np.eye(4)
        frame[:3, 0] = -math.sin(t), math.cos(t), 0
        frame[:3, 1] = -math.cos(t), -math.sin(t), 0
        out = 1.56 * math.cos(math.pi / 8)
        frame[:3, 3] = out * math.cos(t), out * math.sin(t), 0.25
        wide = 2 * 1.56 * math.sin(math.pi / 8)
        with b.at(frame):
            b.box((0, 0.11, 0.27), (wide + 0.05, 0.2, 0.54), "stone", pale[side % 5])
            courses(b, -wide / 2, wide / 2, 0.0, 0.52, (0.34, 0.17), "stone", pale, None, 0.05)
            b.box((0, 0.08, 0.58), (wide + 0.16, 0.36, 0.11), "stone", vary(rng, pale, 1)[0])
            b.box(
                (0, -0.07, 0.27),
                (0.34, 0.06, 0.34),
                "print",
                vary(rng, FLOWER, 1)[0],
                turn=(0, math.pi / 4, 0),
            )
    b.lathe([(1.5, 0.68), (0.0, 0.68)], "water", segments=48)
    column = [
        (0.42, 0.3),
        (0.42, 0.85),
        (0.34, 0.92),
        (0.30, 1.0),
        (0.24, 1.15),
        (0.21, 1.5),
        (0.27, 1.62),
        (0.33, 1.68),
        (0.36, 1.70),
    ]
    b.lathe(column, "stone", pale[0], segments=24)
    for flute in range(12):
        u = flute * math.pi / 6
        b.cylinder(
            (0.23 * math.cos(u), 0.23 * math.sin(u), 1.12),
            (0.21 * math.cos(u), 0.21 * math.sin(u), 1.52),
            0.035,
            "stone",
            pale[flute % 5],
            segments=8,
        )
    b.lathe(
        [(0.2, 1.68), (0.55, 1.74), (0.85, 1.92), (0.92, 2.02), (0.86, 2.03), (0.6, 1.9)],
        "stone",
        pale[2],
        segments=40,
    )
    b.lathe([(0.84, 1.985), (0.0, 1.985)], "water", segments=40)
    b.lathe(
        [
            (0.2, 1.9),
            (0.16, 2.1),
            (0.12, 2.3),
            (0.15, 2.5),
            (0.3, 2.56),
            (0.45, 2.68),
            (0.48, 2.75),
            (0.42, 2.75),
            (0.3, 2.66),
        ],
        "stone",
        pale[4],
        segments=32,
    )
    b.lathe([(0.43, 2.72), (0.0, 2.72)], "water", segments=32)
    b.lathe(
        [(0.10, 2.6), (0.12, 2.95), (0.2, 3.0), (0.2, 3.0), (0.2, 3.05), (0.1, 3.08), (0.0, 3.08)],
        "stone",
        pale[1],
        segments=24,
    )
    for spout in range(8):
        u = (spout + 0.5) * math.pi / 4
        s = np.linspace(0, 1, 12)
        reach, fall = 0.9 + 0.38 * s, 2.02 + 0.12 * s - 1.46 * s**2
        path = np.stack([reach * math.cos(u), reach * math.sin(u), fall], 1)
        b.tube(path, 0.018 + 0.014 * s, "jet")
        b.ball((0.9 * math.cos(u), 0.9 * math.sin(u), 1.98), 0.06, "brass")
        reach, fall = 0.46 + 0.2 * s, 2.75 + 0.08 * s - 0.84 * s**2
        b.tube(
            np.stack([reach * math.cos(u + 0.4), reach * math.sin(u + 0.4), fall], 1), 0.012, "jet"
        )
    with b.at(translation(0, 0, 3.06), rotation("z", 0.6)):  # the cockerel
        b.cylinder((0, 0, 0), (0, 0, 0.16), 0.025, "brass")
        b.ball((0, 0, 0.28), (0.21, 0.12, 0.15), "brass", segments=16)
        b.ball((0.16, 0, 0.44), (0.08, 0.07, 0.13), "brass")
        b.ball((0.19, 0, 0.57), (0.075, 0.06, 0.07), "brass")
        b.cylinder((0.25, 0, 0.57), (0.34, 0, 0.55), 0.025, "brass", end_radius=0.003)
        for comb in range(3):
            b.ball((0.15 + 0.04 * comb, 0, 0.65), (0.025, 0.015, 0.045), "paint", hexa("b8202a"))
        for plume in range(6):
            s = np.linspace(0, 1, 8)
            lift = 0.35 + 0.07 * plume
            path = np.stack(
                [
                    -0.15 - 0.30 * s,
                    0.05 * (plume - 2.5) * s,
                    0.30 + lift * np.sin(s * 2.3) - 0.1 * s,
                ],
                1,
            )
            b.tube(path, 0.035 * (1 - 0.7 * s), "brass")


def tree(b: Builder, x: float, y: float) -> None:
    """An old linden with a bench around its trunk."""
    rng = b.rng
    tips: list[Array] = []

    def branch(start: Array, direction: Array, length: float, radius: float, level: int) -> None:
        s = np.linspace(0, 1, 7)[:, None]
        bend = rng.normal(0.0, 0.16, 3) + np.array([0, 0, 0.10])
        path = start + direction * length * s + bend * length * s**2
        b.tube(
            path,
            radius * (1 - 0.45 * s[:, 0]),
            "wood",
            vary(rng, hexa("6a5a48"), 1)[0],
            8 if level < 2 else 5,
        )
        if level == 3:
            tips.extend([path[-1], path[4]])
            return
        for child in range(4 if level else 6):
            t = 0.55 + 0.45 * child / 4 if level else 0.62 + 0.06 * child
            at = start + direction * length * t + bend * length * t * t
            turn = child * 2.4 + rng.normal(0, 0.3)
            out = np.array([math.cos(turn), math.sin(turn), rng.uniform(0.25, 0.9)])
            new = direction * 0.45 + out / np.linalg.norm(out)
            branch(
                at,
                new / np.linalg.norm(new),
                length * rng.uniform(0.48, 0.62),
                radius * 0.5,
                level + 1,
            )

    with b.at(translation(x, y, 0)):
        branch(np.array([0, 0, -0.1]), np.array([0.03, 0.0, 1.0]), 3.3, 0.30, 0)
        for root in range(7):
            u = root * 0.9 + rng.normal(0, 0.1)
            s = np.linspace(0, 1, 6)
            path = np.stack(
                [
                    (0.2 + 0.5 * s) * math.cos(u),
                    (0.2 + 0.5 * s) * math.sin(u),
                    0.45 * (1 - s) ** 2 - 0.05 * s,
                ],
                1,
            )
            b.tube(path, 0.12 * (1 - 0.6 * s), "wood", hexa("5f5040"))
        centres = np.stack(tips)
        each = int(26000 / len(centres))
        spots = (centres[:, None] + rng.normal(0.0, 0.27, (len(centres), each, 3))).reshape(-1, 3)
        spots = spots[spots[:, 2] > 2.55]
        middle = np.array([0.0, 0.0, 4.3])
        facing = (spots - middle) / np.linalg.norm(spots - middle, axis=1, keepdims=True)
        tints = vary(rng, LEAF, len(spots), 0.22) * [1.2, 1.15, 0.9]
        b.leaves(spots, 0.125, "foliage", np.clip(tints, 0, 1), facing, 0.7)
        # Bench: planks in a ring, on short legs; earth and a kerb inside.
        for part in range(8):
            u, v = part * math.pi / 4, (part + 1) * math.pi / 4
            for row in range(3):
                r = 0.75 + 0.14 * row
                b.beam(
                    (r * math.cos(u), r * math.sin(u), 0.47),
                    (r * math.cos(v), r * math.sin(v), 0.47),
                    0.12,
                    0.045,
                    "wood",
                    vary(rng, hexa("8a5f38"), 1)[0],
                )
            b.beam(
                (0.95 * math.cos(u), 0.95 * math.sin(u), 0),
                (0.95 * math.cos(u), 0.95 * math.sin(u), 0.45),
                0.07,
                0.07,
                "iron",
                IRON,
            )
            b.beam(
                (0.70 * math.cos(u), 0.70 * math.sin(u), 0),
                (0.70 * math.cos(u), 0.70 * math.sin(u), 0.45),
                0.07,
                0.07,
                "iron",
                IRON,
            )
        b.lathe([(0.68, 0.0), (0.66, 0.12), (0.0, 0.16)], "earth", segments=24)


def barrel(b: Builder, x: float, y: float, size: float = 1.0) -> None:
    """A barrel of separate staves with iron hoops."""
    rng = b.rng
    with b.at(translation(x, y, 0), rotation("z", rng.uniform(0, 6)), np.diag([size] * 3 + [1])):
        z = np.linspace(0, 0.85, 7)
        r = 0.26 + 0.07 * np.sin(np.pi * z / 0.85)
        for stave in range(14):
            u = stave * 2 * math.pi / 14
            b.lathe(
                np.stack([r, z], 1),
                "wood",
                vary(rng, hexa("8a6038"), 1, 0.25)[0],
                segments=2,
                sweep=(u, u + 2 * math.pi / 14 * 0.95),
            )
        b.lathe([(0.27, 0.80), (0.0, 0.80)], "wood", vary(rng, hexa("8a6038"), 1)[0])
        for height in (0.1, 0.28, 0.57, 0.75):
            rim = 0.268 + 0.07 * math.sin(math.pi * height / 0.85)
            b.lathe([(rim, height - 0.025), (rim + 0.008, height + 0.025)], "iron", IRON * 1.6)


def crate(b: Builder, x: float, y: float, z: float, turn: float, goods: Array) -> None:
    """A slatted crate heaped with fruit."""
    rng = b.rng
    with b.at(translation(x, y, z), rotation("z", turn)):
        for side in (-1, 1):
            for row in range(3):
                tone = vary(rng, hexa("a67c4a"), 2, 0.2)
                b.box((0, side * 0.2, 0.05 + 0.1 * row), (0.6, 0.02, 0.085), "wood", tone[0])
                b.box((side * 0.3, 0, 0.05 + 0.1 * row), (0.02, 0.4, 0.085), "wood", tone[1])
        b.box((0, 0, 0.12), (0.58, 0.38, 0.2), "wood", OAK)
        for _ in range(26):
            spot = rng.uniform(-1, 1, 2) * [0.25, 0.15]
            b.ball(
                (*spot, 0.27 + 0.05 * rng.random()),
                rng.uniform(0.05, 0.07),
                "fruit",
                vary(rng, goods, 1, 0.2)[0],
                8,
            )


def stall(b: Builder, x: float, y: float, turn: float) -> None:
    """A market stall: posts, striped roof, crates on a counter and around it."""
    rng = b.rng
    with b.at(translation(x, y, 0), rotation("z", turn)):
        for sx in (-1, 1):
            for sy in (-1, 1):
                b.beam(
                    (sx * 1.15, sy * 0.7, 0),
                    (sx * 1.15, sy * 0.7, 2.2),
                    0.08,
                    0.08,
                    "wood",
                    vary(rng, hexa("7a5534"), 1)[0],
                )
        for plank in range(6):
            b.box(
                (0, -0.55 + plank * 0.2, 0.82),
                (2.5, 0.185, 0.05),
                "wood",
                vary(rng, hexa("94683c"), 1, 0.2)[0],
            )
        for plank in range(12):
            for side in (-1, 1):
                b.box(
                    (-1.15 + 0.21 * plank, side * 0.68, 0.42),
                    (0.19, 0.03, 0.76),
                    "paint",
                    vary(rng, hexa("3f6a58"), 1, 0.15)[0],
                )
        goods = palette("c22f28", "e58a25", "e6c034", "6f9a30", "7a3a78", "b6552a")
        for index in range(6):
            crate(
                b,
                -0.8 + 0.8 * (index % 3),
                -0.3 + 0.6 * (index // 3),
                0.85,
                rng.normal(0, 0.06),
                goods[index],
            )
        stripes = 14
        cuts = np.linspace(-1.4, 1.4, stripes + 1)
        for stripe, (a, c) in enumerate(pairwise(cuts)):
            colour = hexa("2f6a8a") if stripe % 2 else hexa("f0e6cc")
            for side in (-1, 1):
                s = np.linspace(0, 1, 5)
                line = np.stack([side * s, 2.75 - 0.55 * s - 0.07 * np.sin(np.pi * s)], 1)
                line = np.concatenate([line, [[side * 1.02, 2.02 - 0.05 * (stripe % 2)]]])
                grid = np.stack([np.c_[np.full(6, a), line], np.c_[np.full(6, c), line]], 1)
                b.surface(grid, "cloth", vary(rng, colour, 1, 0.08)[0], smooth=False)
        b.beam((-1.4, 0, 2.73), (1.4, 0, 2.73), 0.05, 0.05, "wood", OAK)
    barrel(b, x + 1.5 * math.cos(turn + 0.6), y + 1.5 * math.sin(turn + 0.6))


def cart(b: Builder, x: float, y: float, turn: float) -> None:
    """A hay cart with spoked wheels."""
    rng = b.rng
    wood = hexa("7d5832")
    with b.at(translation(x, y, 0), rotation("z", turn)):
        for side in (-1, 1):
            with b.at(translation(0, side * 0.62, 0.52), rotation("x", math.pi / 2)):
                b.lathe(
                    [
                        (0.46, -0.035),
                        (0.52, -0.035),
                        (0.52, -0.035),
                        (0.52, 0.035),
                        (0.52, 0.035),
                        (0.46, 0.035),
                        (0.46, 0.035),
                        (0.46, -0.035),
                    ],
                    "wood",
                    wood * 0.7,
                    segments=28,
                )
                b.cylinder((0, 0, -0.1), (0, 0, 0.1), 0.09, "wood", wood)
                for spoke in range(10):
                    u = spoke * math.pi / 5 + 0.2
                    b.cylinder(
                        (0, 0, 0),
                        (0.47 * math.cos(u), 0.47 * math.sin(u), 0),
                        0.024,
                        "wood",
                        vary(rng, wood, 1)[0],
                        segments=6,
                    )
        b.cylinder((0, -0.7, 0.52), (0, 0.7, 0.52), 0.045, "iron", IRON)
        for plank in range(5):
            b.box(
                (-0.1, -0.4 + plank * 0.2, 0.68),
                (1.7, 0.185, 0.05),
                "wood",
                vary(rng, wood, 1, 0.2)[0],
            )
        for side in (-1, 1):
            for row in range(3):
                b.beam(
                    (-0.95, side * 0.5, 0.8 + 0.16 * row),
                    (0.75, side * (0.5 + 0.05 * row), 0.8 + 0.16 * row),
                    0.03,
                    0.12,
                    "wood",
                    vary(rng, wood, 1, 0.2)[0],
                )
            for stake in (-0.85, -0.1, 0.65):
                b.beam(
                    (stake, side * 0.52, 0.65),
                    (stake, side * 0.62, 1.32),
                    0.05,
                    0.05,
                    "wood",
                    wood * 0.8,
                )
            b.beam((0.7, side * 0.35, 0.68), (2.3, side * 0.3, 0.12), 0.07, 0.07, "wood", wood)
        count = 9000
        spots = rng.normal(0, 1, (count, 3))
        spots = spots / np.linalg.norm(spots, axis=1, keepdims=True) * [0.78, 0.5, 0.5]
        spots = spots * rng.uniform(0.8, 1.05, (count, 1)) + [-0.1, 0, 0.95]
        b.ball((-0.1, 0, 0.95), (0.72, 0.46, 0.46), "cloth", hexa("a88a3c"))
        tints = vary(rng, palette("cdb055", "b8983f", "dcc878", "9a8035"), count, 0.2)
        b.leaves(spots, 0.20, "foliage", tints, spots - [-0.1, 0, 0.95], 0.5, slender=0.05)


def lamp_post(b: Builder, x: float, y: float) -> None:
    """A cast-iron street lamp with a hanging flower basket."""
    rng = b.rng
    with b.at(translation(x, y, 0)):
        b.lathe(
            [
                (0.2, 0),
                (0.2, 0.12),
                (0.13, 0.2),
                (0.1, 0.5),
                (0.12, 0.56),
                (0.055, 0.65),
                (0.04, 2.9),
                (0.07, 2.95),
                (0.04, 3.0),
                (0.04, 3.2),
            ],
            "iron",
            hexa("23332f"),
            segments=12,
        )
        b.beam((-0.45, 0, 2.75), (0.45, 0, 2.75), 0.03, 0.03, "iron", IRON)
        with b.at(translation(0, 0, 3.2)):
            b.box((0, 0, 0.22), (0.2, 0.2, 0.42), "lamp", taper=1.35)
            for u in range(4):
                with b.at(rotation("z", u * math.pi / 2)):
                    b.beam((0.11, 0.11, 0), (0.15, 0.15, 0.44), 0.025, 0.025, "iron", IRON)
            b.box((0, 0, 0.52), (0.40, 0.40, 0.16), "iron", hexa("23332f"), taper=0.25)
            b.ball((0, 0, 0.64), 0.05, "brass")
        for side in (-1, 1):
            spots = rng.normal(0, 0.13, (260, 3)) * [1, 1, 0.8] + [side * 0.45, 0, 2.42]
            b.leaves(spots, 0.09, "foliage", vary(rng, LEAF, 260, 0.2))
            spots = rng.normal(0, 0.15, (130, 3)) * [1, 1, 0.8] + [side * 0.45, 0, 2.42]
            b.leaves(spots, 0.085, "foliage", vary(rng, FLOWER[[0, 1, 4]], 130, 0.1))
            b.beam((side * 0.45, 0, 2.5), (side * 0.45, 0, 2.75), 0.01, 0.01, "iron", IRON)


def bunting(b: Builder, start: Array, end: Array, sag: float) -> None:
    """A string of flags between two points (3,)."""
    rng = b.rng
    s = np.linspace(0, 1, 40)
    path = start + (end - start) * s[:, None]
    path[:, 2] -= sag * 4 * s * (1 - s)
    b.tube(path, 0.008, "cloth", hexa("e8e0d0"), 4)
    count = int(np.linalg.norm(end - start) / 0.36)
    colours = palette("c8303a", "e8b830", "2f6fae", "3f8f58", "f0ead8", "d8702a")
    for flag in range(count):
        t = (flag + 0.5) / count
        at = start + (end - start) * t
        at[2] -= sag * 4 * t * (1 - t)
        along = (end - start) / np.linalg.norm(end - start) * 0.13
        swing = rng.normal(0, 0.09, 3) * [1, 1, 0]
        corners = np.stack([at - along, at + along, at + swing - [0, 0, 0.36]])
        b.add(corners, np.array([[0, 1, 2]]), "cloth", vary(rng, colours[flag % 6], 1, 0.08)[0])


def country(b: Builder) -> None:
    """Fields and woods behind the houses, and mountains on the horizon."""
    rng = b.rng

    def ground(p: Array) -> Array:
        r = np.linalg.norm(p, axis=-1)
        swell = 5.0 * value_noise(p * 0.02 + 9.0, 21) + 1.2 * value_noise(p * 0.1, 22)
        return (
            -0.12
            + np.clip((r - 15.0) / 60.0, 0, 1) * (swell + 5.0)
            + np.maximum(r - 60.0, 0) * 0.05
        )

    radius = np.concatenate([[12.8, 13.5], np.geomspace(14.5, 230.0, 60)])
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    flat = radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], 1)[None]
    b.surface(np.concatenate([flat, ground(flat)[..., None]], -1), "meadow", closed=True)

    radius = np.linspace(200.0, 420.0, 40)
    angle = np.linspace(0, 2 * np.pi, 420, endpoint=False)
    flat = radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], 1)[None]
    ridge = np.sin(np.pi * (radius - 200.0) / 220.0)[:, None] ** 1.2
    peaks = 1.0 - np.abs(value_noise(flat * 0.012 + 40.0, 31, 6)) * 1.9
    massif = 0.55 + 0.5 * value_noise(flat * 0.004 + 5.0, 32, 2)
    height = 12.0 + ridge * (118.0 * np.clip(peaks, 0, 1) ** 1.3 * massif + 12.0)
    b.surface(np.concatenate([flat, height[..., None]], -1), "mountain", closed=True)

    for _ in range(420):  # woods
        r, u = 19.0 + 120.0 * rng.random() ** 1.5, rng.uniform(0, 2 * np.pi)
        p = np.array([r * math.cos(u), r * math.sin(u)])
        if r > 32 and value_noise(p * 0.035, 41, 2) < 0.0:
            continue
        lane = abs(math.degrees(math.remainder(u, math.pi)))
        if r < 70 and lane < 14:  # leave the views through the gate and over the wall open
            continue
        z, size = float(ground(p)), rng.uniform(0.7, 1.35)
        fir = value_noise(p * 0.02, 42, 2) > 0.1
        leaves = int(420 * (1.0 if r < 50 else 0.55))
        if fir:
            t = rng.random(leaves) ** 0.7
            spots = np.stack([0 * t, 0 * t, 6.5 * size * (1 - t) + 0.4], 1)
            turn = rng.uniform(0, 2 * np.pi, leaves)
            wide = 1.5 * size * t * (0.75 + 0.25 * np.sin(t * 40))
            spots += np.stack([wide * np.cos(turn), wide * np.sin(turn), 0 * t], 1)
            tints = vary(rng, palette("48704a", "5a8050", "3c6444"), leaves, 0.25)
        else:
            spots = rng.normal(size=(leaves, 3))
            spots = spots / np.linalg.norm(spots, axis=1, keepdims=True) * [1.7, 1.7, 1.9] * size
            spots += rng.normal(0, 0.25, (leaves, 3)) + np.array([0, 0, 3.4 * size])
            tone = vary(rng, palette("55803a", "6f9040", "8a8a38", "456f34", "a08a3a"), 1, 0.1)
            tints = vary(rng, tone, leaves, 0.22)
        b.cylinder((*p, z - 0.3), (*p, z + 2.4 * size), 0.16, "wood", OAK, segments=5)
        b.leaves(spots + np.array([*p, z]), 0.75 * size, "foliage", tints)


def wall_and_view(b: Builder, angle: float, distance: float) -> None:
    """The open side of the square: a low wall with flower urns, steps and a view."""
    rng = b.rng
    a = math.radians(angle)
    frame = np.eye(4)
    frame[:3, 0] = math.sin(a), -math.cos(a), 0.0
    frame[:3, 1] = math.cos(a), math.sin(a), 0.0
    frame[:3, 3] = distance * math.cos(a), distance * math.sin(a), 0.0
    with b.at(frame):
        for x0, x1 in ((-3.6, -0.8), (0.8, 3.6)):
            b.box(((x0 + x1) / 2, 0.2, 0.42), (x1 - x0, 0.36, 0.84), "stone", STONE[3])
            courses(b, x0, x1, 0.0, 0.85, (0.36, 0.2), "stone", STONE, None, 0.07)
            for x in np.arange(x0 + 0.25, x1, 0.5):
                b.box((x, 0.2, 0.9), (0.48, 0.56, 0.12), "stone", vary(rng, STONE, 1)[0])
        for x in (-0.85, 0.85, -3.5, 3.5):
            b.box((x, 0.2, 0.6), (0.5, 0.5, 1.2), "stone", vary(rng, STONE, 1)[0])
            b.lathe(
                [(0.16, 1.2), (0.12, 1.3), (0.26, 1.5), (0.32, 1.62), (0.28, 1.64), (0.0, 1.6)],
                "tile",
                TERRACOTTA[1],
                (x, 0.2, 0),
                20,
            )
            spots = rng.normal(0, 0.17, (300, 3)) + np.array([x, 0.2, 1.82])
            b.leaves(spots, 0.12, "foliage", vary(rng, LEAF, 300, 0.2))
            spots = rng.normal(0, 0.2, (140, 3)) + np.array([x, 0.2, 1.86])
            two = FLOWER[rng.permutation(6)[:2]]
            b.leaves(spots, 0.10, "foliage", vary(rng, two, 140, 0.1))


def build() -> None:
    """The whole square."""
    make_materials()
    make_sky(sun_azimuth=215.0)
    b = Builder(SEED)
    rng = b.rng
    pave(b)
    fountain(b)
    tree(b, -2.6, 2.5)
    stall(b, 2.9, 2.3, 0.5)
    cart(b, 1.9, -3.5, 2.6)
    for x, y, size in ((-2.9, -2.4, 1.0), (-3.4, -1.9, 0.85), (-2.6, -3.0, 0.8)):
        barrel(b, x, y, size)
    goods = palette("d98a2a", "8a9a38", "b03a30")
    crate(b, -3.6, -2.8, 0.0, 0.4, goods[0])
    crate(b, -3.0, -3.5, 0.0, 1.2, goods[1])
    crate(b, -3.5, -2.75, 0.3, 0.7, goods[2])
    t, green, blue = "timber", hexa("2f5d50"), hexa("2c4a70")
    houses = [
        {
            "style": t,
            "ridge": "gable",
            "width": 5.6,
            "upper": 2.6,
            "rise": 3.0,
            "columns": 3,
            "door": 1,
            "door_colour": green,
            "wall": PLASTER[0],
            "shutters": SHUTTER[1],
            "sign": 0.8,
        },
        {
            "style": "plaster",
            "ridge": "eaves",
            "width": 6.2,
            "upper": 2.7,
            "rise": 2.5,
            "door": 2,
            "door_colour": hexa("6b3a24"),
            "wall": PLASTER[6],
            "shutters": SHUTTER[0],
            "dormer": [-1.4, 1.4],
            "posters": 2,
            "arched": True,
        },
        {
            "style": "brick",
            "ridge": "steps",
            "width": 5.2,
            "upper": 2.9,
            "rise": 3.0,
            "columns": 2,
            "door": 0,
            "door_colour": hexa("1f4a40"),
            "wall": PLASTER[3],
            "arched": True,
            "flowers": 0.9,
            "sign": -0.9,
        },
        {
            "style": "plaster",
            "ridge": "gable",
            "width": 5.4,
            "upper": 2.5,
            "rise": 2.8,
            "door": 0,
            "door_colour": blue,
            "wall": PLASTER[5],
            "shutters": SHUTTER[2],
            "ivy": (1.4, 3.0, 5.4, 2600),
            "roof": SLATE,
        },
        {
            "style": t,
            "ridge": "eaves",
            "width": 6.4,
            "upper": 2.5,
            "rise": 2.8,
            "columns": 4,
            "door": 3,
            "door_colour": hexa("7a2e2a"),
            "wall": PLASTER[4],
            "shop": True,
            "awning": hexa("3a6a48"),
            "dormer": [0.0],
            "flowers": 0.7,
        },
        {
            "style": "stone",
            "ridge": "gable",
            "width": 5.5,
            "upper": 2.8,
            "rise": 3.1,
            "columns": 2,
            "door": 1,
            "door_colour": hexa("5a3a22"),
            "wall": STONE[0],
            "shutters": SHUTTER[5],
            "ivy": (-1.6, 2.4, 5.0, 1800),
            "arched": True,
        },
        {
            "style": "plaster",
            "ridge": "eaves",
            "width": 6.0,
            "upper": 2.9,
            "rise": 2.4,
            "door": 1,
            "door_colour": green,
            "wall": PLASTER[2],
            "shutters": SHUTTER[3],
            "posters": 3,
            "roof": TERRACOTTA * 0.85,
            "flowers": 0.8,
        },
        {
            "style": t,
            "ridge": "gable",
            "width": 5.3,
            "upper": 2.7,
            "rise": 3.2,
            "columns": 3,
            "door": 0,
            "door_colour": blue,
            "wall": PLASTER[7],
            "shop": True,
            "awning": hexa("b83a30"),
            "sign": 0.85,
            "flowers": 0.8,
        },
    ]
    slots = [36, 72, 108, 144, 216, 252, 288, 324]
    for index, (slot, spec) in enumerate(zip(slots, houses, strict=True)):
        spec.update(seed=index * 10, twist=float(rng.normal(0, 2.0)))
        house(b, slot + float(rng.normal(0, 1.0)), 10.6 + float(rng.normal(0, 0.2)), spec)
    gate_tower(b, 0.0, 10.9)
    wall_and_view(b, 180.0, 10.9)
    for angle in (18, 90, 162, 198, 270, 342):
        u = math.radians(angle + 1.0)
        lamp_post(b, 8.9 * math.cos(u), 8.9 * math.sin(u))
    for from_angle, to_angle, sag in (
        (30, 140, 0.9),
        (80, 220, 1.0),
        (255, 36, 0.9),
        (322, 215, 0.9),
    ):
        u, v = math.radians(from_angle), math.radians(to_angle)
        bunting(
            b,
            np.array([10.1 * math.cos(u), 10.1 * math.sin(u), 5.6]),
            np.array([10.1 * math.cos(v), 10.1 * math.sin(v), 5.4]),
            sag,
        )
    for angle in (52, 126, 235, 306):  # barrels and crates along the houses
        u = math.radians(angle)
        barrel(b, 9.9 * math.cos(u), 9.9 * math.sin(u), float(rng.uniform(0.8, 1.1)))
        crate(b, 9.8 * math.cos(u + 0.08), 9.8 * math.sin(u + 0.08), 0.0, u, goods[0])
    country(b)
    b.finish("square")


def walk() -> list[Array]:
    """Camera-to-world poses (4, 4) of a walk around the square, hand-held, metres."""
    look_at = load_viewpoints().opengl_look_at
    rng = np.random.default_rng(SEED + 1)
    poses = []
    for step in range(PHOTOS):
        u = 2 * math.pi * (step + 0.12 * rng.normal()) / PHOTOS
        r = 6.55 + 0.30 * math.sin(2 * u + 0.7) + 0.16 * math.sin(5 * u) + 0.05 * rng.normal()
        eye = np.array(
            [r * math.cos(u), r * math.sin(u), 1.64 + 0.08 * math.sin(3 * u) + 0.035 * rng.normal()]
        )
        gaze = u + math.pi + math.radians(15 * math.sin(2 * u + 1.0) + 2.0 * rng.normal())
        pitch = math.radians(5.0 + 2.5 * math.sin(3 * u + 2.0) + 1.2 * rng.normal())
        ahead = np.array(
            [math.cos(gaze) * math.cos(pitch), math.sin(gaze) * math.cos(pitch), math.sin(pitch)]
        )
        roll = rotation("z", math.radians(1.4 * rng.normal()))
        poses.append(look_at(eye, eye + ahead, (0, 0, 1)) @ roll)
    return poses


def photo_exif() -> Image.Exif:
    """What a camera would note: orientation, make, model, focal lengths."""
    exif = Image.Exif()
    exif[0x0112] = 1  # Orientation: upright
    exif[0x010F], exif[0x0110] = "DaC", "Procedural camera"
    exif.get_ifd(0x8769).update({0x920A: float(FOCAL_35MM), 0xA405: FOCAL_35MM})
    return exif


def main() -> None:
    """Render the photos that are missing, then the ground truth beside them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the scene")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="per pixel")
    parser.add_argument("--only", type=int, nargs="*", help="photo numbers, from 1; default all")
    parser.add_argument("--scale", type=float, default=1.0, help="of the size, for previews")
    parser.add_argument("--hero", type=Path, help="render only a large still to this file")
    parser.add_argument("--cameras", type=Path, help="render only this file's cameras, to --out")
    options = parser.parse_args()
    size = (round(SIZE[0] * options.scale), round(SIZE[1] * options.scale))
    look, exposure = "AgX - Punchy", 1.75
    poses = walk()
    if options.hero is not None:
        start_scene(
            (round(1200 * options.scale), round(800 * options.scale)),
            options.samples,
            False,
            look,
            exposure,
        )
        build()
        pose = load_viewpoints().opengl_look_at((-7.5, -4.5, 2.7), (1.2, 0.9, 2.75), (0, 0, 1))
        image = render(pose, 0.70 * 1200 * options.scale)
        save(image, options.hero, quality=86, optimize=True)
        return
    if options.cameras is not None:
        pixels, focal, unseen = missing_cameras(options.cameras, options.out, options.scale)
        if unseen:
            start_scene(pixels, options.samples, False, look, exposure)
            build()
        for path, pose in unseen:
            how = {} if path.suffix == ".png" else {"quality": QUALITY, "progressive": True}
            save(render(pose, focal), path, **how)
            print(f"view {path.relative_to(options.out)}", flush=True)
        return
    wanted = options.only or list(range(1, PHOTOS + 1))
    paths = {number: options.out / "images" / f"{number:04d}.jpg" for number in wanted}
    missing = [number for number in wanted if not paths[number].exists()]
    if missing:
        start_scene(size, options.samples, False, look, exposure)
        build()
    for number in missing:
        image = render(poses[number - 1], FOCAL * options.scale)
        save(image, paths[number], quality=QUALITY, progressive=True, exif=photo_exif())
        print(f"photo {number}", flush=True)
    truth = {
        "note": "Never read by the pipeline, which has to recover the cameras from the photos by "
        "itself; the tests compare with it.",
        "axes": "camera-to-world, OpenGL (x right, y up, z backwards); metres, z up",
        "width": SIZE[0],
        "height": SIZE[1],
        "focal_pixels": FOCAL,
        "frames": [
            {"file": f"images/{number:04d}.jpg", "camera_to_world": np.round(pose, 8).tolist()}
            for number, pose in enumerate(poses, start=1)
        ],
    }
    (options.out / "ground_truth_cameras.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
