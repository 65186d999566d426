"""Make the embedded object: a pocket lighthouse, in the format of Blender/NeRF-synthetic scenes.

Run with a Python that has ``bpy`` and Pillow::

    python scenes/make_object.py --out scenes/pocket-lighthouse

Views that are there already are kept, so an interrupted run can simply be started again.  All of
it lies within the box [-1.3, 1.3]^3 (scene units, z up).  Its detail is uneven on purpose: the
front (towards -y) is crowded, the back is smooth wall, smooth cliff and open water.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
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
    save_blend,
    save_png,
    start_scene,
    thrifty,
    translation,
    value_noise,
    vary,
    world,
)

SEED = 1811
SIZE = 176  # pixels; MS-SSIM with its five scales needs no less
ANGLE_X = 0.77  # horizontal field of view, radians: the model just fits, from wherever it is seen
RADIUS = 4.0  # distance of the cameras from the origin, scene units
CANDIDATES = 20000
SPLITS = {"train": (180, 11), "val": (10, 22), "test": (200, 33)}  # views, seed
SAMPLES = 16
BOX = 1.3

SEA = -0.76  # height of the water
TOP = -0.42  # height of the rock's plateau
ROCK = np.array([0.0, 0.10])  # middle of the rock
TOWER = np.array([0.14, 0.22])  # axis of the tower

LEAF = palette("4d7a2a", "5f8f33", "3c6624", "77a03c")
FLOWER = palette("d62f4a", "e8557f", "f2c230", "f4f0e4", "8d4fc0")
OAK = hexa("7d5530")
TILE = palette("a5502f", "b8643c", "8f4229", "c27a4e", "7c3b2a")
STONE = palette("b5a78f", "9d9482", "c2b59b", "8c8578", "aa9a80")
IRON = hexa("22242a")


def make_materials() -> None:
    """Fill in the materials; all read the tint, most add noise in local space."""

    def grainy(
        name: str,
        scale: float,
        contrast: float,
        roughness: float,
        bump: float,
        stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """A tinted matt surface with noise along its own axes."""
        s = material(name)
        tint, local = s.attribute("tint"), s.attribute("local", "Vector")
        fine = s.noise(s.scaled(local, stretch), scale, 4.0, 0.65)
        shade = s.remap(fine, 0.28, 0.72, (1.0 - contrast, 1.0 + 0.4 * contrast))
        grey = s.node("CombineColor", {0: shade, 1: shade, 2: shade}).outputs[0]
        colour = s.mix(1.0, tint, grey, "MULTIPLY")
        s.finish(s.principled(colour, roughness, Normal=s.bump(fine, bump) if bump else None))

    grainy("stone", 60.0, 0.40, 0.85, 0.002)
    grainy("rock", 22.0, 0.55, 0.80, 0.010)
    grainy("brick", 70.0, 0.30, 0.75, 0.001)
    grainy("tile", 60.0, 0.35, 0.70, 0.0)
    grainy("wood", 40.0, 0.50, 0.65, 0.0, (0.35, 6.0, 6.0))
    grainy("cloth", 45.0, 0.20, 0.9, 0.0)
    grainy("stucco", 9.0, 0.10, 0.55, 0.0)  # the smooth back of the tower
    grainy("enamel", 20.0, 0.08, 0.18, 0.0)

    s = material("lacquer")  # the plinth: dark wood under a clear coat
    local = s.attribute("local", "Vector")
    grain = s.noise(s.scaled(local, (1.0, 1.0, 12.0)), 4.0, 5.0, 0.6, 0.8)
    colour = s.ramp(grain, [(0.3, hexa("2a120a")), (0.5, hexa("4c2412")), (0.72, hexa("74401f"))])
    s.finish(
        s.principled(colour, 0.5, Specular_IOR_Level=0.2, Coat_Weight=0.5, Coat_Roughness=0.08)
    )

    s = material("brass")
    fine = s.noise(s.position(), 26.0, 3.0)
    colour = s.mix(s.remap(fine, 0.4, 0.75), hexa("e8b450"), hexa("a8803c"))
    s.finish(s.principled(colour, s.remap(fine, 0.3, 0.7, (0.16, 0.34)), Metallic=1.0))

    s = material("copper")  # the dome: verdigris over copper
    fine = s.noise(s.position(), 18.0, 5.0, 0.65)
    colour = s.ramp(fine, [(0.36, hexa("b0603a")), (0.48, hexa("6fae98")), (0.7, hexa("3f8f80"))])
    s.finish(s.principled(colour, 0.35, Metallic=0.5))

    s = material("iron")
    s.finish(s.principled(s.attribute("tint"), 0.4, Metallic=0.5))

    s = material("sea")  # cast resin: glossy, with depth in its colour
    tint, place = s.attribute("tint"), s.position()
    swirl = s.noise(place, 5.0, 5.0, 0.6, 1.2)
    deep = s.mix(1.0, tint, hexa("7aa0b0"), "MULTIPLY")
    colour = s.mix(s.remap(swirl, 0.35, 0.65), deep, tint)
    s.finish(s.principled(colour, 0.12, Coat_Weight=1.0, Coat_Roughness=0.03))

    s = material("glass")  # thin panes: mostly clear, with a sharp reflection
    clear = s.node("BsdfTransparent", {"Color": hexa("dcecee")}).outputs[0]
    shine = s.node("BsdfGlossy", {"Color": (1.0, 1.0, 1.0), "Roughness": 0.02}).outputs[0]
    edge = s.node("LayerWeight", {"Blend": 0.25}).outputs["Fresnel"]
    s.finish(
        s.node(
            "MixShader", {0: s.math("ADD", s.math("MULTIPLY", edge, 0.6), 0.08), 1: clear, 2: shine}
        ).outputs[0]
    )

    s = material("pane")  # windows with a lamp-lit room behind them
    fine = s.noise(s.position(), 20.0, 2.0)
    colour = s.mix(s.remap(fine, 0.4, 0.6), hexa("2a3a48"), hexa("e8b860"))
    s.finish(s.principled(colour, 0.08))

    s = material("lens")
    s.finish(s.principled(s.attribute("tint"), 0.05, Coat_Weight=1.0))

    s = material("light")
    s.finish(
        s.principled(hexa("fff2c8"), 0.2, Emission_Color=hexa("ffdf90"), Emission_Strength=2.0)
    )
    s.no_lamp()

    s = material("foliage")
    tint = s.attribute("tint")
    front = s.node("BsdfDiffuse", {"Color": tint}).outputs[0]
    warm = s.mix(1.0, tint, hexa("f4ff9a"), "MULTIPLY")
    through = s.node("BsdfTranslucent", {"Color": warm}).outputs[0]
    s.finish(s.node("MixShader", {0: 0.35, 1: front, 2: through}).outputs[0])


def make_lights() -> None:
    """A studio like an HDR photo: pale dome, warm floor, one wide soft box; and a sun."""
    s = world()
    view = s.node("TexCoord").outputs["Generated"]
    up = s.node("SeparateXYZ", {0: view}).outputs[2]
    high = s.remap(up, -1.0, 1.0)
    dome = s.ramp(
        high,
        [
            (0.0, hexa("7a6650")),
            (0.46, hexa("b8a48c")),
            (0.54, hexa("e6dfd2")),
            (0.75, hexa("c4d2e4")),
            (1.0, hexa("9ab8dc")),
        ],
    )
    towards = np.array([0.75, -0.35, 0.56])
    lit = s.node(
        "VectorMath",
        {0: view, 1: tuple(towards / np.linalg.norm(towards))},
        operation="DOT_PRODUCT",
    ).outputs["Value"]
    dome = s.mix(s.remap(lit, 0.88, 0.93), dome, (3.2, 3.0, 2.7))
    s.finish(s.node("Background", {"Color": dome, "Strength": 0.75}).outputs[0])
    add_sun(-62.0, 46.0, 3.4, hexa("ffe6c4"), 4.0)


def plinth(b: Builder) -> None:
    """A lacquered stand: rich brass work in front, bare behind."""
    rng = b.rng
    b.lathe(
        [
            (0.0, -1.14),
            (1.10, -1.14),
            (1.13, -1.12),
            (1.13, -1.06),
            (1.13, -1.06),
            (1.07, -1.03),
            (1.04, -0.99),
            (1.04, -0.99),
            (1.04, -0.86),
            (1.04, -0.86),
            (1.07, -0.83),
            (1.10, -0.81),
            (1.10, -0.77),
            (1.10, -0.77),
            (1.06, -0.76),
            (1.06, -0.76),
            (1.02, -0.78),
        ],
        "lacquer",
        segments=160,
    )
    b.lathe([(1.132, -1.10), (1.142, -1.09), (1.132, -1.08)], "brass", segments=160)
    b.lathe([(1.10, -0.80), (1.115, -0.79), (1.10, -0.78)], "brass", segments=160)
    for foot in range(8):
        u = (foot + 0.5) * math.pi / 4
        b.ball((1.0 * math.cos(u), 1.0 * math.sin(u), -1.17), (0.08, 0.08, 0.06), "brass")
    # An arcade of little brass arches with enamel shields, from the left to the right of the front.
    enamel = palette("1f5fa8", "c02a34", "1f8a6a", "e0b030", "7a3f9a")
    places = np.radians(np.linspace(188.0, 352.0, 27))
    for index, u in enumerate(places):
        frame = np.eye(4)
        frame[:3, 0] = -math.sin(u), math.cos(u), 0
        frame[:3, 1] = 0, 0, 1
        frame[:3, 2] = math.cos(u), math.sin(u), 0
        frame[:3, 3] = 1.04 * math.cos(u), 1.04 * math.sin(u), -0.925
        with b.at(frame):
            if abs(math.degrees(u) - 270.0) < 14.0:
                continue
            t = np.linspace(0, np.pi, 11)
            arch = np.stack([0.04 * np.cos(t), 0.01 + 0.035 * np.sin(t), 0.012 + 0 * t], 1)
            legs = np.array([[0.04, -0.055, 0.012]]), np.array([[-0.04, -0.055, 0.012]])
            b.tube(np.concatenate([legs[0], arch, legs[1]]), 0.007, "brass")
            b.ball((0, -0.012, 0.004), (0.025, 0.036, 0.016), "enamel", enamel[index % 5])
            b.ball((0.049, 0.045, 0.008), 0.011, "brass", segments=8)
            b.ball((0.049, -0.05, 0.008), 0.008, "enamel", enamel[(index + 2) % 5], 8)
    # The name plate, with an anchor and raised lettering that nobody can read.
    with b.at(
        rotation("z", -math.pi / 2),
        translation(1.045, 0, -0.925),
        rotation("z", math.pi / 2),
        rotation("x", math.pi / 2),
    ):
        b.box((0, 0, 0), (0.40, 0.125, 0.05), "brass")
        b.box((0, 0, 0.02), (0.37, 0.10, 0.03), "enamel", hexa("14284a"))
        x = -0.16
        while x < 0.16:
            wide = float(rng.uniform(0.012, 0.024))
            if rng.random() < 0.85 and abs(x + wide / 2) > 0.04:
                for row, high in ((0.022, 0.03), (-0.024, 0.018)):
                    kind = rng.integers(3)
                    b.box((x + wide / 2, row, 0.036), (0.005, high, 0.008), "brass")
                    b.box(
                        (x + wide / 2, row + (kind - 1) * high * 0.4, 0.036),
                        (wide * 0.8, 0.005, 0.008),
                        "brass",
                    )
            x += wide + 0.008
        b.tube(np.array([[0, 0.036, 0.036], [0, -0.034, 0.036]]), 0.005, "brass")
        t = np.linspace(-2.7, -0.44, 9)
        b.tube(
            np.stack([0.028 * np.cos(t), -0.008 + 0.028 * np.sin(t), 0.036 + 0 * t], 1),
            0.005,
            "brass",
        )
        b.box((0, 0.022, 0.036), (0.03, 0.006, 0.01), "brass")


def rock_height(p: Array) -> Array:
    """Height of the rock at points (..., 2): a plateau with terraced, ragged flanks."""
    q = p - ROCK
    angle = np.arctan2(q[..., 1], q[..., 0])
    ragged = value_noise(np.stack([np.cos(angle), np.sin(angle)], -1) * 1.6 + 7.0, 3, 4)
    reach = np.linalg.norm(q, axis=-1) / (0.70 + 0.13 * ragged)
    reach = reach + 0.10 * value_noise(p * 6.0 + 3.0, 5, 3)
    fall = np.clip((reach - 0.72) / 0.36, 0.0, 1.0)
    height = (1.0 - fall * fall * (3.0 - 2.0 * fall)) * 0.44
    step = 0.075
    within = height / step - np.floor(height / step)
    terraced = (np.floor(height / step) + np.clip((within - 0.5) * 3.0 + 0.5, 0, 1)) * step
    flank = fall * (1.0 - fall) * 4.0
    rough = 0.035 * value_noise(p * 14.0, 8, 3) * flank
    return SEA - 0.09 + 0.35 * height + 0.65 * terraced + rough


def rock_and_sea(b: Builder) -> None:
    """The rock with grass on top, and the resin sea with foam around it."""
    rng = b.rng
    radius = np.linspace(0.0, 0.96, 90)
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    flat = ROCK + radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], 1)[None]
    height = rock_height(flat)
    grid = np.concatenate([flat, height[..., None]], -1)
    after = np.roll(grid, -1, axis=1)
    middle = ((grid[:-1] + grid[1:] + after[:-1] + after[1:]) / 4).reshape(-1, 3)
    across = np.cross((grid[1:] - grid[:-1]), (after[:-1] - grid[:-1])).reshape(-1, 3)
    flatness = np.abs(across[:, 2]) / np.maximum(np.linalg.norm(across, axis=1), 1e-12)
    strata = value_noise(np.stack([middle[:, 2] * 28.0, middle[:, 0] * 1.5], 1), 12, 3)
    tint = palette("a08a72", "6f6258")[(strata > 0).astype(int)] * (1 + 0.5 * strata[:, None])
    patch = value_noise(middle[:, :2] * 9.0, 13, 3)
    grassy = (flatness > 0.80) & (middle[:, 2] > TOP - 0.10) & (patch > -0.45)
    tint[grassy] = vary(rng, palette("5c8033", "6f9040", "4c6f2c"), int(grassy.sum()), 0.12)
    path = np.abs(middle[:, 0] + 0.30 * middle[:, 1] - 0.12) < 0.05 + 0.02 * patch
    tint[path & grassy] = hexa("b49a70")
    wet = np.clip((middle[:, 2] - SEA) / 0.10, 0.25, 1.0)
    b.surface(grid, "rock", np.clip(tint * wet[:, None], 0, 1), smooth=False, closed=True)
    turf = middle[grassy & ~path]
    # Grass grows thick in front and is mown short behind.
    turf = turf[rng.random(len(turf)) < np.where(turf[:, 1] < 0.2, 0.5, 0.05)]
    turf = turf + rng.normal(0, 0.006, turf.shape) + [0, 0, 0.008]
    b.leaves(turf, 0.035, "foliage", vary(rng, LEAF, len(turf), 0.2), slender=0.12)
    blooms = turf[rng.permutation(len(turf))[:260]]
    blooms = blooms[blooms[:, 1] < 0.15]
    b.leaves(blooms + np.array([0, 0, 0.02]), 0.022, "foliage", vary(rng, FLOWER, len(blooms), 0.1))

    radius = np.linspace(0.0, 1.03, 80)
    angle = np.linspace(0, 2 * np.pi, 220, endpoint=False)
    flat = radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], 1)[None]
    front = np.clip(0.5 - flat[..., 1], 0.12, 1.0)
    swell = 0.014 * value_noise(flat * 6.0, 51, 3) + 0.008 * np.sin(
        flat[..., 0] * 26 + flat[..., 1] * 9
    )
    swell = swell * front * np.clip((1.03 - radius) / 0.06, 0, 1)[:, None]
    grid = np.concatenate([flat, SEA + swell[..., None]], -1)
    after = np.roll(grid, -1, axis=1)
    middle = ((grid[:-1] + grid[1:] + after[:-1] + after[1:]) / 4).reshape(-1, 3)
    depth = SEA - rock_height(middle[:, :2])
    shallow = np.clip(1.0 - depth / 0.088, 0.0, 1.0)[:, None]
    tint = hexa("0d5c78") * (1 - shallow) + hexa("35b0a8") * shallow
    foam = value_noise(middle[:, :2] * 16.0, 52, 4) * 0.5 + shallow[:, 0]
    crest = (middle[:, 2] - SEA) > 0.0125
    tint[(foam > 0.62) | crest] = hexa("e6f2f0")
    b.surface(grid, "sea", np.clip(tint, 0, 1), closed=True)


def tower(b: Builder) -> None:
    """The tower: brick in front, stucco behind; gallery, lantern and dome."""
    rng = b.rng
    white, red = hexa("ece4d2"), hexa("b02a22")

    def girth(z: Array | float) -> Array | float:
        t = (np.asarray(z) - (TOP - 0.03)) / 1.03
        return 0.262 - 0.105 * t + 0.02 * (1 - t) ** 6

    with b.at(translation(TOWER[0], TOWER[1], 0)):
        z = np.concatenate([[TOP - 0.06], TOP + 0.04 * np.arange(27)])
        bands = np.floor(((z[:-1] + z[1:]) / 2 - TOP) / 0.2) % 2 == 1
        tint = np.where(bands[:, None], red, white)
        b.lathe(np.stack([girth(z), z], 1), "stucco", np.repeat(tint, 96, 0), segments=96)
        rows = 40
        tall = (0.60 - TOP) / rows
        centres, axes, sizes, tints = [], [], [], []
        for row in range(rows):
            at = TOP + (row + 0.5) * tall
            r = float(girth(at))
            count = int(2 * math.pi * r / 0.056)
            u = (np.arange(count) + 0.5 * (row % 2)) * 2 * np.pi / count
            ragged = np.radians(72.0 + 14.0 * value_noise(np.array([[row * 0.3, 2.0]]), 61)[0])
            u = u[np.abs(np.angle(np.exp(1j * (u - np.radians(262.0))))) < ragged]
            out = np.stack([np.cos(u), np.sin(u), np.full(len(u), 0.1)], 1)
            out /= np.linalg.norm(out, axis=1, keepdims=True)
            side = np.stack([-np.sin(u), np.cos(u), 0 * u], 1)
            centres.append(np.stack([r * np.cos(u), r * np.sin(u), 0 * u + at], 1))
            axes.append(np.stack([side, np.cross(out, side), out], 1))
            sizes.append(
                np.stack(
                    [
                        np.full(len(u), 0.052),
                        np.full(len(u), tall * 0.9),
                        rng.uniform(0.006, 0.011, len(u)),
                    ],
                    1,
                )
            )
            band = int((at - TOP) / 0.2) % 2 == 1
            tints.append(vary(rng, red if band else white * 0.93, len(u), 0.13))
        b.stones(
            np.concatenate(centres),
            np.concatenate(axes),
            np.concatenate(sizes),
            "brick",
            np.concatenate(tints),
        )
        # Windows up the front, a door at its foot.
        for turn, at in ((268, -0.05), (250, 0.20), (286, 0.42)):
            r = float(girth(at))
            with b.at(rotation("z", math.radians(turn)), translation(r, 0, at)):
                b.box((0.012, 0, 0), (0.02, 0.07, 0.11), "pane")
                b.lathe([(0.0, 0.018), (0.035, 0.018)], "pane", centre=(0.0, 0, 0.04), segments=12)
                for y in (-0.042, 0.042):
                    b.box((0.014, y, 0), (0.034, 0.016, 0.13), "stone", STONE[2])
                b.box((0.014, 0, 0.068), (0.036, 0.10, 0.022), "stone", STONE[2])
                b.box((0.020, 0, -0.066), (0.05, 0.11, 0.016), "stone", STONE[2])
                b.box((0.024, 0, 0), (0.006, 0.006, 0.11), "wood", white)
                b.box((0.024, 0, 0.0), (0.006, 0.07, 0.006), "wood", white)
        with b.at(rotation("z", math.radians(262)), translation(float(girth(TOP)) - 0.012, 0, TOP)):
            for plank in range(5):
                b.box(
                    (0.02, (plank - 2) * 0.024, 0.095),
                    (0.02, 0.022, 0.19),
                    "wood",
                    vary(rng, hexa("1f5c54"), 1, 0.12)[0],
                )
            t = np.linspace(0, np.pi, 9)
            b.tube(
                np.stack([0 * t + 0.024, 0.072 * np.cos(t), 0.185 + 0.06 * np.sin(t)], 1),
                0.014,
                "stone",
                STONE[0],
            )
            for y in (-0.072, 0.072):
                b.box((0.022, y, 0.09), (0.03, 0.026, 0.2), "stone", vary(rng, STONE, 1)[0])
            b.ball((0.034, 0.04, 0.09), 0.008, "brass")
            b.box((0.06, 0, 0.005), (0.09, 0.19, 0.03), "stone", STONE[1])
        with b.at(
            rotation("z", math.radians(233)),
            translation(0.252, 0, TOP + 0.26),
            rotation("y", math.pi / 2 - 0.1),
        ):  # the life-buoy
            t = np.linspace(0, 2 * np.pi, 25)
            b.tube(
                np.stack([0.055 * np.cos(t), 0.055 * np.sin(t), 0 * t + 0.012], 1),
                0.017,
                "enamel",
                np.repeat(np.where((np.arange(24) // 3 % 2)[:, None] == 0, red * 1.3, white), 8, 0),
                8,
            )
        # Gallery: cornice on brackets, deck, railing.
        b.lathe(
            [
                (0.16, 0.54),
                (0.18, 0.57),
                (0.20, 0.58),
                (0.27, 0.615),
                (0.275, 0.63),
                (0.275, 0.63),
                (0.275, 0.645),
                (0.275, 0.645),
                (0.12, 0.65),
            ],
            "stone",
            hexa("d8ccb4"),
            segments=64,
        )
        for bracket in range(16):
            u = bracket * math.pi / 8
            b.beam(
                (0.17 * math.cos(u), 0.17 * math.sin(u), 0.555),
                (0.255 * math.cos(u), 0.255 * math.sin(u), 0.605),
                0.022,
                0.03,
                "enamel",
                red,
            )
        t = np.linspace(0, 2 * np.pi, 65)
        for at, thick in ((0.69, 0.004), (0.73, 0.004), (0.775, 0.0075)):
            b.tube(np.stack([0.262 * np.cos(t), 0.262 * np.sin(t), 0 * t + at], 1), thick, "brass")
        for post in range(24):
            u = post * math.pi / 12
            x, y = 0.262 * math.cos(u), 0.262 * math.sin(u)
            b.cylinder((x, y, 0.64), (x, y, 0.775), 0.0055, "brass", segments=6)
            if post % 3 == 0:
                b.ball((x, y, 0.792), 0.014, "brass", segments=8)
        # Lantern: low wall, panes between brass bars, and the lens within.
        b.lathe(
            [
                (0.150, 0.645),
                (0.150, 0.70),
                (0.150, 0.70),
                (0.158, 0.70),
                (0.158, 0.715),
                (0.158, 0.715),
                (0.0, 0.715),
            ],
            "enamel",
            red,
            segments=48,
        )
        b.lathe([(0.146, 0.715), (0.146, 0.93)], "glass", segments=12, smooth=False)
        for bar in range(12):
            u = bar * math.pi / 6
            x, y = 0.146 * math.cos(u), 0.146 * math.sin(u)
            b.cylinder((x, y, 0.71), (x, y, 0.935), 0.0055, "brass", segments=6)
            v = u + math.pi / 6
            for low, high in ((0.715, 0.82), (0.82, 0.93)):  # diagonal astragals
                b.cylinder(
                    (x, y, low),
                    (0.146 * math.cos(v), 0.146 * math.sin(v), high),
                    0.003,
                    "brass",
                    segments=5,
                )
        profile = []
        for ring in range(9):
            at = 0.735 + ring * 0.021
            wide = 0.055 + 0.03 * math.sin(math.pi * (ring + 0.5) / 9)
            profile += [(wide * 0.86, at), (wide, at + 0.009), (wide * 0.86, at + 0.019)]
        b.lathe(profile, "lens", hexa("ffe9a8"), segments=32)
        b.ball((0, 0, 0.83), (0.097, 0.097, 0.022), "light", segments=20)
        b.lathe([(0.03, 0.715), (0.06, 0.73), (0.03, 0.74)], "brass", segments=24)
        b.lathe(
            [
                (0.145, 0.925),
                (0.185, 0.93),
                (0.19, 0.94),
                (0.19, 0.94),
                (0.175, 0.955),
                (0.150, 1.00),
                (0.105, 1.05),
                (0.05, 1.08),
                (0.03, 1.085),
            ],
            "copper",
            segments=48,
        )
        for rib in range(12):
            u = rib * math.pi / 6
            r = np.array([0.178, 0.153, 0.108, 0.052, 0.03])
            h = np.array([0.955, 1.002, 1.052, 1.083, 1.088])
            b.tube(np.stack([r * math.cos(u), r * math.sin(u), h], 1), 0.006, "copper", segments=5)
        b.ball((0, 0, 1.105), 0.036, "brass", segments=20)
        b.cylinder((0, 0, 1.12), (0, 0, 1.275), 0.006, "brass", end_radius=0.002, segments=8)
        b.ball((0, 0, 1.165), 0.013, "brass", segments=10)
        with b.at(translation(0, 0, 1.20), rotation("z", 0.5)):  # the vane
            b.cylinder((-0.085, 0, 0), (0.085, 0, 0), 0.004, "brass", segments=6)
            b.cylinder((0.07, 0, 0), (0.11, 0, 0), 0.016, "brass", end_radius=0.001, segments=8)
            b.box((-0.08, 0, 0), (0.05, 0.004, 0.045), "brass")


def window(b: Builder, x: float, z: float, colour: Array) -> None:
    """A small window with shutters and flowers on a wall at y = 0 that faces -y."""
    rng = b.rng
    b.box((x, -0.002, z), (0.062, 0.012, 0.075), "pane")
    for side in (-1, 1):
        b.box((x + side * 0.034, -0.006, z), (0.008, 0.018, 0.085), "wood", hexa("efe8d8"))
        for slat in range(2):
            b.box(
                (x + side * (0.048 + 0.016 * slat), -0.010, z),
                (0.015, 0.010, 0.082),
                "wood",
                vary(rng, colour, 1, 0.1)[0],
            )
    for dz in (-0.04, 0.0, 0.042):
        b.box((x, -0.006, z + dz), (0.07, 0.016, 0.007), "wood", hexa("efe8d8"))
    b.box((x, -0.006, z), (0.007, 0.016, 0.08), "wood", hexa("efe8d8"))
    b.box((x, -0.024, z - 0.05), (0.085, 0.03, 0.022), "wood", OAK)
    spots = rng.uniform(-1, 1, (36, 3)) * [0.042, 0.014, 0.012] + [x, -0.026, z - 0.030]
    b.leaves(spots, 0.022, "foliage", vary(rng, LEAF, 36, 0.2))
    spots = rng.uniform(-1, 1, (22, 3)) * [0.042, 0.016, 0.012] + [x, -0.030, z - 0.022]
    b.leaves(spots, 0.022, "foliage", vary(rng, FLOWER[[0, 1]], 22, 0.1))


def cottage(b: Builder) -> None:
    """The keeper's cottage: rubble walls, tiled roof, chimney, garden fence."""
    rng = b.rng
    w, d, h, rise = 0.46, 0.29, 0.21, 0.17
    with b.at(translation(-0.30, -0.06, TOP - 0.01), rotation("z", -0.16)):
        b.box((0, 0, h / 2), (w, d, h), "stone", STONE[2])
        for turn, length, deep in ((0.0, w, d), (math.pi / 2, d, w), (-math.pi / 2, d, w)):
            with b.at(rotation("z", turn), translation(0, -deep / 2, 0)):
                rows = 9
                for row in range(rows):
                    cuts = np.arange(-length / 2 - 0.03 * (row % 2), length / 2 + 0.05, 0.052)
                    cuts = np.clip(cuts + rng.normal(0, 0.006, len(cuts)), -length / 2, length / 2)
                    wide = np.diff(cuts)
                    good = wide > 0.012
                    x = ((cuts[1:] + cuts[:-1]) / 2)[good]
                    c = np.stack([x, 0 * x, 0 * x + (row + 0.5) * h / rows], 1)
                    s = np.stack(
                        [
                            wide[good] * 0.94,
                            0 * x + h / rows * 0.9,
                            rng.uniform(0.005, 0.010, len(x)),
                        ],
                        1,
                    )
                    out = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
                    b.stones(c, out, s, "stone", vary(rng, STONE * 1.1, len(x), 0.2))
        with b.at(rotation("z", math.pi / 2), rotation("x", math.pi / 2)):
            b.prism([(-d / 2, h), (d / 2, h), (0, h + rise)], -w / 2, w / 2, "stone", STONE[0])
        for side in (-1, 1):  # tiles
            eave = np.array([side * -(w / 2 + 0.02), side * -(d / 2 + 0.035), h - 0.035])
            u = np.array([float(side), 0.0, 0.0])
            slope = np.array([0.0, side * (d / 2 + 0.035), rise + 0.045])
            v = slope / np.linalg.norm(slope)
            out = np.cross(u, v)
            rows, columns = 11, 17
            j, i = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
            x = ((i + 0.5 * (j % 2)) * (w + 0.04) / columns).ravel() + 0.012
            y = ((j + 0.4) / rows).ravel()
            c = eave + x[:, None] * u + y[:, None] * slope
            tilt = 0.2 + rng.normal(0, 0.03, (len(c), 1))
            vv = v - tilt * out
            axes = np.stack([np.broadcast_to(u, vv.shape), vv, np.cross(u, vv)], 1)
            size = np.tile([0.027, 0.030, 0.007], (len(c), 1))
            b.stones(c, axes, size, "tile", vary(rng, TILE, len(c), 0.22))
        b.cylinder(
            (-w / 2 - 0.02, 0, h + rise + 0.008),
            (w / 2 + 0.02, 0, h + rise + 0.008),
            0.013,
            "tile",
            TILE[2],
            segments=8,
        )
        b.box((-0.14, 0.03, h + rise * 0.95), (0.07, 0.07, 0.20), "brick", TILE[0])
        b.box((-0.14, 0.03, h + rise * 0.95 + 0.10), (0.09, 0.09, 0.018), "stone", STONE[1])
        b.cylinder(
            (-0.14, 0.03, h + rise * 0.95 + 0.1),
            (-0.14, 0.03, h + rise * 0.95 + 0.15),
            0.018,
            "tile",
            TILE[1],
            segments=10,
        )
        blue = hexa("2a5a8c")
        with b.at(translation(0, -d / 2 - 0.008, 0)):
            window(b, -0.135, 0.115, blue)
            window(b, 0.145, 0.115, blue)
            for plank in range(4):
                b.box(
                    ((plank - 1.5) * 0.019, -0.004, 0.08),
                    (0.017, 0.012, 0.14),
                    "wood",
                    vary(rng, blue, 1, 0.12)[0],
                )
            for side in (-1, 1):
                b.box((side * 0.046, -0.004, 0.08), (0.016, 0.02, 0.155), "wood", hexa("efe8d8"))
            b.box((0, -0.004, 0.157), (0.108, 0.02, 0.016), "wood", hexa("efe8d8"))
            b.box((0, -0.03, 0.012), (0.12, 0.06, 0.02), "stone", STONE[0])
            b.ball((0.022, -0.014, 0.08), 0.006, "brass", segments=8)
            spots = rng.normal(0, 1, (420, 3)) * [0.025, 0.008, 0.06] + [0.215, -0.012, 0.10]
            b.leaves(spots, 0.024, "foliage", vary(rng, LEAF, 420, 0.2))
        with b.at(rotation("z", -math.pi / 2), translation(0, -w / 2 - 0.008, 0)):
            window(b, 0.0, 0.115, blue)
        # The fence of the front garden.
        for index in range(19):
            x = -0.26 + index * 0.025
            if abs(x + 0.005) < 0.035:
                continue
            y = -d / 2 - 0.125 - 0.01 * math.sin(index)
            b.box((x, y, 0.03), (0.011, 0.006, 0.085), "wood", hexa("f0ebdf"), taper=0.6)
        for side in (-1, 1):
            for z in (0.025, 0.05):
                a, c = (-0.26, -0.04) if side < 0 else (0.03, 0.19)
                b.beam(
                    (a, -d / 2 - 0.12, z),
                    (c, -d / 2 - 0.12, z),
                    0.005,
                    0.008,
                    "wood",
                    hexa("f0ebdf"),
                )


def pine(b: Builder) -> None:
    """A pine bent by the wind, left of the tower."""
    rng = b.rng
    s = np.linspace(0, 1, 14)
    trunk = np.stack([-0.40 - 0.16 * s**1.6, 0.30 + 0.03 * np.sin(3 * s), TOP - 0.03 + 0.62 * s], 1)
    b.tube(trunk, 0.030 * (1 - 0.75 * s), "wood", hexa("6a4a34"), 8)
    for level in range(9):
        at = trunk[4 + level]
        for _ in range(4):
            u = rng.uniform(0, 2 * math.pi)
            reach = rng.uniform(0.10, 0.22) * (1.15 - level / 11)
            end = at + np.array([reach * math.cos(u) - 0.05, reach * math.sin(u), 0.03])
            b.tube(
                np.stack([at, (at + end) / 2 + [0, 0, 0.015], end]),
                0.006,
                "wood",
                hexa("5a4030"),
                5,
            )
            count = 150
            spots = at + (end - at) * rng.uniform(0.35, 1.05, (count, 1))
            spots = spots + rng.normal(0, 1, (count, 3)) * [0.030, 0.030, 0.014] + [0, 0, 0.012]
            tints = vary(rng, palette("2f5a34", "41703c", "54803f"), count, 0.2)
            b.leaves(spots, 0.042, "foliage", tints, slender=0.14)


def quay(b: Builder) -> None:
    """Steps down the rock, a jetty on piles, and what lies about on it."""
    rng = b.rng
    down = np.array([0.56, -0.83])
    down = down / np.linalg.norm(down)
    side = np.array([-down[1], down[0]])
    start, run = ROCK + down * 0.47, 0.34
    for step in range(13):
        t = step / 12
        p = start + down * run * t
        z = max(TOP + 0.005 - (TOP - SEA - 0.05) * t, float(rock_height(p)) + 0.012)
        b.box(
            (*p, z - 0.06),
            (0.05, 0.15, 0.14),
            "stone",
            vary(rng, STONE, 1, 0.15)[0],
            turn=(0, 0, math.atan2(down[1], down[0])),
        )
    for s in (-1, 1):
        rail = []
        for post in range(4):
            t = post / 3
            p = start + down * run * t + side * s * 0.08
            z = max(TOP - (TOP - SEA - 0.05) * t, float(rock_height(p)))
            b.cylinder((*p, z - 0.05), (*p, z + 0.10), 0.007, "wood", OAK, segments=6)
            rail.append([*p, z + 0.09])
            if post < 3:
                q = start + down * run * (t + 1 / 6) + side * s * 0.08
                line = TOP - (TOP - SEA - 0.05) * (t + 1 / 6)
                rail.append([*q, max(line, float(rock_height(q))) + 0.07])
        b.tube(np.array(rail), 0.005, "cloth", hexa("c8a870"))
    a = start + down * (run - 0.02)
    way = np.array([0.10, -0.995])
    across = np.array([0.995, 0.10])
    for plank in range(20):
        p = a + way * (0.023 * plank)
        if np.linalg.norm(p) > 0.97:
            break
        b.box(
            (*p, SEA + 0.055),
            (rng.uniform(0.155, 0.175), 0.020, 0.012),
            "wood",
            vary(rng, hexa("9a7448"), 1, 0.2)[0],
            turn=(0, rng.normal(0, 0.03), 0.10),
        )
    for post in range(5):
        p = a + way * (0.02 + 0.10 * post)
        for s in (-1, 1):
            q = p + across * s * 0.078
            if np.linalg.norm(q) < 0.99:
                b.cylinder(
                    (*q, SEA - 0.03),
                    (*q, SEA + 0.055 + (0.07 if post % 2 == 0 else 0.0)),
                    0.012,
                    "wood",
                    vary(rng, OAK * 0.7, 1)[0],
                    segments=8,
                )
    mast = a + way * 0.40 + across * -0.07
    b.cylinder((*mast, SEA), (*mast, SEA + 0.42), 0.008, "wood", hexa("e8e0d0"), segments=8)
    b.ball((*mast, SEA + 0.43), 0.013, "brass", segments=8)
    top = np.array([*mast, SEA + 0.41])
    gallery = np.array([TOWER[0] + 0.10, TOWER[1] - 0.25, 0.765])
    s = np.linspace(0, 1, 40)
    line = top + (gallery - top) * s[:, None] - np.stack([0 * s, 0 * s, 0.5 * s * (1 - s)], 1)
    b.tube(line, 0.003, "cloth", hexa("e8e0d0"), 5)
    flags = palette("c8303a", "e8b830", "2f6fae", "f0ead8", "3f8f58", "d8702a")
    for flag in range(2, 37, 2):
        p, q = line[flag], line[flag + 1]
        swing = rng.normal(0, 0.006, 3)
        corners = np.stack([p, q, q + swing - [0, 0, 0.055], p + swing - [0, 0, 0.055]])
        two = corners.copy()
        two[[0, 1]] = (corners[[0, 1]] + corners[[3, 2]]) / 2
        b.add(corners, np.array([[0, 1, 2, 3]]), "cloth", flags[flag // 2 % 6])
        b.add(
            two + (two[0] - corners[0]) * 0.02,
            np.array([[0, 1, 2, 3]]),
            "cloth",
            flags[(flag // 2 + 3) % 6],
        )
    for x, y, r in ((0.055, 0.10, 0.026), (0.055, 0.165, 0.022)):
        p = a + way * y + across * x
        b.lathe(
            [(0.75 * r, 0), (r, 0.03), (0.75 * r, 0.06), (0, 0.058)],
            "wood",
            OAK,
            (*p, SEA + 0.06),
            12,
        )
        for z in (0.012, 0.046):
            b.lathe(
                [(0.88 * r, z - 0.003), (0.90 * r, z + 0.003)], "iron", IRON, (*p, SEA + 0.06), 12
            )
    p = a + way * 0.27 + across * 0.045
    for level in range(3):
        b.box(
            (*p, SEA + 0.075 + 0.028 * level),
            (0.06, 0.05, 0.022),
            "wood",
            vary(rng, hexa("b08850"), 1)[0],
            turn=(0, 0, 0.3 * level),
        )
    t = np.linspace(0, 9 * np.pi, 60)  # a coil of rope
    p = a + way * 0.36 + across * 0.03
    b.tube(
        np.stack(
            [
                p[0] + (0.012 + 0.0008 * t) * np.cos(t),
                p[1] + (0.012 + 0.0008 * t) * np.sin(t),
                SEA + 0.066 + 0 * t,
            ],
            1,
        ),
        0.004,
        "cloth",
        hexa("c8a870"),
        5,
    )


def boat(b: Builder) -> None:
    """A gaff cutter with planked hull, sails and rigging."""
    rng = b.rng
    with b.at(
        translation(-0.10, -0.76, SEA),
        rotation("z", 0.20),
        rotation("x", 0.05),
        np.diag([1.05, 1.05, 1.05, 1.0]),
    ):
        s = np.linspace(-1, 1, 25)
        beam = 0.072 * np.clip(1 - np.abs(s) ** 2.4, 0, 1) ** 0.75 + 0.002
        sheer = 0.062 + 0.030 * s**2 + 0.012 * s
        for side in (-1, 1):
            strakes = 6
            t = np.linspace(0, 1, strakes + 1)
            grid = np.empty((strakes + 1, len(s), 3))
            for row, part in enumerate(t):
                grid[row, :, 0] = 0.205 * s * (0.90 + 0.10 * part)
                grid[row, :, 1] = side * beam * math.sin(part * math.pi / 2) ** 0.7
                grid[row, :, 2] = -0.03 * (1 - part) + sheer * part
            rows = np.repeat(np.arange(strakes), len(s) - 1)
            colours = np.stack(
                [
                    hexa("7a2420"),
                    hexa("7a2420"),
                    hexa("f0e8d8"),
                    hexa("1f4f78"),
                    hexa("1f4f78"),
                    hexa("c89a50"),
                ]
            )
            tint = colours[rows] * np.exp(rng.normal(0, 0.06, (strakes, 1)))[rows]
            b.surface(grid, "enamel", np.clip(tint, 0, 1))
            b.tube(np.stack([0.205 * s, side * beam, sheer], 1), 0.005, "wood", OAK, 5)
        deck = np.stack(
            [
                np.stack([0.2 * s, -beam * 0.97, sheer - 0.014], 1),
                np.stack([0.2 * s, beam * 0.97, sheer - 0.014], 1),
            ]
        )
        b.surface(deck, "wood", vary(rng, hexa("b08048"), 24, 0.15))
        b.box((-0.06, 0, 0.075), (0.10, 0.07, 0.04), "wood", hexa("efe6d4"))
        b.box((-0.06, 0, 0.098), (0.115, 0.085, 0.01), "wood", OAK)
        b.cylinder((0.035, 0, 0.02), (0.02, 0, 0.56), 0.008, "wood", hexa("c08a4a"), 0.004, 8)
        b.cylinder((0.19, 0, 0.10), (0.30, 0, 0.125), 0.006, "wood", hexa("c08a4a"), 0.003, 8)
        boom, gaff = np.array([-0.20, 0.02, 0.13]), np.array([-0.13, 0.025, 0.47])
        b.cylinder((0.03, 0, 0.12), boom, 0.005, "wood", OAK, segments=6)
        b.cylinder((0.022, 0, 0.38), gaff, 0.005, "wood", OAK, segments=6)

        def sail(corners: Array, panels: int, belly: float, colours: Array) -> None:
            """A billowing sail: corners tack, clew, peak, throat."""
            u, v = np.meshgrid(np.linspace(0, 1, panels + 1), np.linspace(0, 1, 9), indexing="ij")
            u, v = u[..., None], v[..., None]
            low = corners[0] * (1 - u) + corners[1] * u
            high = corners[3] * (1 - u) + corners[2] * u
            grid = low * (1 - v) + high * v
            grid[..., 1] += (belly * np.sin(np.pi * u) * np.sin(np.pi * (0.15 + 0.7 * v)))[..., 0]
            b.surface(grid, "cloth", np.repeat(colours[np.arange(panels) % len(colours)], 8, 0))

        canvas = palette("f2e6c8", "ead9b4", "f6ecd6")
        sail(
            np.array(
                [
                    [0.022, 0, 0.135],
                    boom + np.array([0.01, 0, 0.005]),
                    gaff + np.array([0.004, 0, 0]),
                    [0.016, 0, 0.38],
                ]
            ),
            7,
            0.04,
            canvas,
        )
        sail(
            np.array([[0.28, 0, 0.135], [0.06, 0.02, 0.13], [0.03, 0, 0.48], [0.031, 0, 0.485]]),
            6,
            0.03,
            palette("b8382c", "a83026"),
        )
        ropes = [
            ((0.02, 0, 0.54), (0.30, 0, 0.125)),
            ((0.02, 0, 0.54), (-0.20, 0, 0.10)),
            ((0.022, 0, 0.46), gaff),
            ((0.02, 0, 0.54), (0.05, 0.068, 0.07)),
            ((0.02, 0, 0.54), (0.05, -0.068, 0.07)),
            ((0.02, 0, 0.54), (0.0, 0.07, 0.07)),
            ((0.02, 0, 0.54), (0.0, -0.07, 0.07)),
            ((0.30, 0, 0.125), (0.2, 0, 0.05)),
        ]
        for one, other in ropes:
            b.tube(np.array([one, other]), 0.0024, "iron", hexa("3a2c20"), 5)
        for rung in range(1, 8):
            t = rung / 11
            for side in (-1, 1):
                one = np.array([0.05, side * 0.068, 0.07]) * (1 - t) + np.array([0.02, 0, 0.54]) * t
                two = np.array([0.0, side * 0.07, 0.07]) * (1 - t) + np.array([0.02, 0, 0.54]) * t
                b.tube(np.stack([one, two]), 0.002, "iron", hexa("3a2c20"), 4)
        b.add(
            np.array([[0.02, 0, 0.565], [0.02, 0, 0.53], [-0.07, 0.015, 0.55]]),
            np.array([[0, 1, 2]]),
            "cloth",
            hexa("e8b830"),
        )


def odds(b: Builder) -> None:
    """A buoy, gulls, bushes, and stacks of stone out at sea."""
    rng = b.rng
    with b.at(translation(-0.70, -0.52, SEA), rotation("x", 0.15)):
        b.lathe(
            [(0.0, -0.02), (0.055, -0.01), (0.06, 0.03), (0.05, 0.05), (0.03, 0.06)],
            "enamel",
            hexa("c02a24"),
            segments=24,
        )
        b.lathe([(0.058, 0.012), (0.0605, 0.02), (0.058, 0.028)], "enamel", hexa("f0ead8"))
        for leg in range(4):
            u = leg * math.pi / 2
            b.cylinder(
                (0.035 * math.cos(u), 0.035 * math.sin(u), 0.05),
                (0.012 * math.cos(u), 0.012 * math.sin(u), 0.16),
                0.004,
                "brass",
                segments=6,
            )
        b.lathe([(0.0, 0.15), (0.022, 0.16), (0.022, 0.19), (0.0, 0.21)], "light", segments=12)
    for x, y, z, turn in (
        (0.452, -0.745, SEA + 0.125, 0.7),
        (-0.42, -0.06, TOP + 0.38, 2.5),
        (-0.70, -0.52, SEA + 0.21, 4.0),
        (0.62, 0.18, SEA + 0.13, 1.0),
    ):
        with b.at(translation(x, y, z), rotation("z", turn)):
            b.ball((0, 0, 0.025), (0.034, 0.017, 0.017), "enamel", hexa("f4f2ec"), 10)
            b.ball((0.028, 0, 0.047), 0.012, "enamel", hexa("f4f2ec"), 8)
            b.cylinder(
                (0.036, 0, 0.046), (0.054, 0, 0.043), 0.004, "enamel", hexa("e8a020"), 0.001, 6
            )
            b.ball((-0.012, 0, 0.032), (0.032, 0.019, 0.011), "enamel", hexa("8a929c"), 8)
            b.cylinder((-0.03, 0, 0.03), (-0.06, 0, 0.024), 0.009, "iron", IRON, 0.002, 6)
    for x, y, size in (
        (0.66, 0.18, 0.10),
        (0.74, 0.06, 0.06),
        (-0.74, 0.12, 0.055),
        (-0.55, -0.66, 0.04),
        (0.78, -0.28, 0.07),
    ):
        t = np.linspace(0, 1, 8)
        u = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        wide = (
            size
            * (1 - t**2.2)[:, None]
            * (
                1
                + 0.25
                * value_noise(
                    np.stack(np.meshgrid(t * 4 + x * 9, np.cos(u) * 2, indexing="ij"), -1), 71, 2
                )
            )
        )
        grid = np.stack(
            [
                x + wide * np.cos(u),
                y + wide * np.sin(u),
                SEA - 0.02 + 1.5 * size * np.repeat(t[:, None], 14, 1),
            ],
            -1,
        )
        tint = vary(rng, palette("6d645c", "8a7d70"), 7 * 14, 0.15)
        tint[:28] *= 0.5
        b.surface(grid, "rock", tint, smooth=False, closed=True)
    for x, y, size in (
        (-0.05, -0.22, 0.05),
        (-0.52, 0.05, 0.07),
        (0.22, -0.12, 0.045),
        (0.40, 0.05, 0.06),
        (-0.08, 0.02, 0.05),
        (-0.2, 0.34, 0.05),
    ):
        spots = rng.normal(size=(420, 3))
        spots = (
            spots / np.linalg.norm(spots, axis=1, keepdims=True) * rng.uniform(0.7, 1.05, (420, 1))
        )
        z = float(rock_height(np.array([x, y])))
        tone = vary(rng, LEAF, 1, 0.1)
        b.leaves(
            spots * size * [1, 1, 0.8] + [x, y, z + 0.4 * size],
            0.028,
            "foliage",
            vary(rng, tone, 420, 0.22),
            spots,
            0.5,
        )


def build() -> None:
    """The whole model; refuses to leave its box."""
    make_materials()
    make_lights()
    b = Builder(SEED)
    b.frame = translation(0.0, 0.0, 0.07) @ np.diag([0.95, 0.95, 0.95, 1.0])  # into the box
    plinth(b)
    rock_and_sea(b)
    tower(b)
    cottage(b)
    pine(b)
    quay(b)
    boat(b)
    odds(b)
    item = b.finish("lighthouse")
    corners = np.array(item.bound_box)
    if np.abs(corners).max() > BOX:
        raise RuntimeError(f"the model leaves its box: {corners.min(0)} to {corners.max(0)}")


def on_backdrop(still: Image.Image) -> Image.Image:
    """Put a transparent still on a paper-like backdrop with a soft shadow at its foot."""
    wide, high = still.size
    y, x = np.mgrid[0:high, 0:wide] / [[[high]], [[wide]]] * 2.0 - 1.0
    glow = np.exp(-1.1 * (x**2 + (y + 0.15) ** 2))[..., None]
    paper = np.array([196.0, 204.0, 212.0]) * (1 - glow) + np.array([250.0, 245.0, 234.0]) * glow
    shadow = np.exp(-((((x - 0.03) / 0.46) ** 2 + ((y - 0.80) / 0.17) ** 2) ** 1.5))[..., None]
    backdrop = Image.fromarray((paper * (1.0 - 0.45 * shadow)).astype(np.uint8))
    backdrop.paste(still, (0, 0), still)
    return backdrop


def split_poses(name: str) -> list[Array]:
    """Camera-to-world poses (4, 4) of a split, spread over the hemisphere."""
    views = load_viewpoints()
    count, seed = SPLITS[name]
    candidates = views.hemisphere_candidates(CANDIDATES, RADIUS, seed)
    chosen = candidates[views.farthest_point_sampling(candidates, count, seed)]
    return [views.opengl_look_at(centre, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)) for centre in chosen]


def main() -> None:
    """Render the views that are missing and write the three transforms files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the scene")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="per pixel")
    parser.add_argument("--only", nargs="*", help="views like train/r_000; default all")
    parser.add_argument("--scale", type=float, default=1.0, help="of the size, for previews")
    parser.add_argument("--hero", type=Path, help="render only a large still to this file")
    parser.add_argument("--blend", type=Path, help="save only the model, to this file")
    parser.add_argument("--cameras", type=Path, help="render only this file's cameras, to --out")
    options = parser.parse_args()
    look, exposure = "AgX - Punchy", 1.0
    if options.hero is not None:
        wide, high = round(1200 * options.scale), round(800 * options.scale)
        start_scene((wide, high), options.samples, True, look, exposure)
        build()
        pose = load_viewpoints().opengl_look_at((-1.05, -3.85, 0.95), (0.0, 0.0, -0.02), (0, 0, 1))
        image = on_backdrop(render(pose, 0.87 * wide))
        save(image, options.hero, quality=88, optimize=True)
        return
    if options.blend is not None:
        start_scene((SIZE, SIZE), options.samples, True, look, exposure)
        build()
        save_blend(options.blend)
        return
    if options.cameras is not None:
        pixels, focal, missing = missing_cameras(options.cameras, options.out, options.scale)
        if missing:
            start_scene(pixels, options.samples, True, look, exposure)
            build()
        for path, pose in missing:
            save_png(thrifty(render(pose, focal)), path)
            print(f"view {path.relative_to(options.out)}", flush=True)
        return
    todo = []
    for name in SPLITS:
        frames = []
        for number, pose in enumerate(split_poses(name)):
            stem = f"{name}/r_{number:03d}"
            frames.append({"file_path": f"./{stem}", "transform_matrix": pose.tolist()})
            path = options.out / f"{stem}.png"
            if not path.exists() and (options.only is None or stem in options.only):
                todo.append((path, pose))
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"camera_angle_x": ANGLE_X, "frames": frames}, indent=1)
        (options.out / f"transforms_{name}.json").write_text(text + "\n")
    if not todo:
        return
    size = round(SIZE * options.scale)
    focal = size / 2 / math.tan(ANGLE_X / 2)
    start_scene((size, size), options.samples, True, look, exposure)
    build()
    for path, pose in todo:
        save_png(thrifty(render(pose, focal)), path)
        print(f"view {path.parent.name}/{path.name}", flush=True)


if __name__ == "__main__":
    main()
