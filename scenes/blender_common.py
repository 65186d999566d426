"""What the two scene scripts share: mesh building, materials from nodes, rendering with Cycles.

This module and the scripts that use it are the only ones that import ``bpy``; the package itself
never does.  A scene is one big mesh made from primitives by :class:`Builder`.  Every primitive
carries a *tint* (a colour per face) and *local* coordinates (metres along its own axes, longest
first, plus a random offset), so that one material can serve thousands of stones or planks and no
two of them look the same.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from PIL import Image

Vector = Sequence[float]
Array = np.ndarray


def load_viewpoints() -> ModuleType:
    """Import ``viewpoints.py`` alone: Blender's Python has no PyTorch for the rest."""
    path = Path(__file__).resolve().parents[1] / "dac" / "scenes" / "photos" / "viewpoints.py"
    spec = importlib.util.spec_from_file_location("viewpoints", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hexa(code: str) -> Array:
    """Linear RGB in [0, 1], shape (3,), of an sRGB colour like ``"c0ffee"``."""
    srgb = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255.0
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def palette(*codes: str) -> Array:
    """Linear RGB colours, shape (N, 3)."""
    return np.stack([hexa(code) for code in codes])


def vary(rng: np.random.Generator, colour: Array, count: int, amount: float = 0.15) -> Array:
    """Colours around one colour or drawn from several: brightness and, less, hue; (count, 3)."""
    colours = np.atleast_2d(colour)
    picked = colours[rng.integers(len(colours), size=count)]
    bright = np.exp(rng.normal(0.0, amount, (count, 1)))
    return np.clip(picked * bright * np.exp(rng.normal(0.0, amount / 3, (count, 3))), 0.0, 1.0)


def rotation(axis: str, angle: float) -> Array:
    """Rotation about a coordinate axis by an angle in radians, shape (4, 4)."""
    return np.array(Matrix.Rotation(angle, 4, axis.upper()))


def translation(x: float, y: float, z: float) -> Array:
    """Translation, shape (4, 4)."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def value_noise(points: Array, seed: int, octaves: int = 4) -> Array:
    """Fractal value noise in about [-1, 1] at points (..., 2), one lattice cell per unit."""
    total, weight = np.zeros(points.shape[:-1]), 0.0
    for octave in range(octaves):
        lattice = np.random.default_rng((seed, octave)).uniform(-1.0, 1.0, (64, 64))
        scaled = points * 2.0**octave + 17.3 * octave
        cell = np.floor(scaled).astype(int)
        t = scaled - cell
        t = t * t * (3.0 - 2.0 * t)
        i, j = cell[..., 0] % 64, cell[..., 1] % 64
        low = lattice[i, j] * (1 - t[..., 0]) + lattice[(i + 1) % 64, j] * t[..., 0]
        high = lattice[i, (j + 1) % 64] * (1 - t[..., 0])
        high = high + lattice[(i + 1) % 64, (j + 1) % 64] * t[..., 0]
        total += 0.5**octave * (low * (1 - t[..., 1]) + high * t[..., 1])
        weight += 0.5**octave
    return total / weight


# The eight corners of a unit cube centred at the origin, and its faces with outward normals.
CUBE = np.array([[x, y, z] for z in (-0.5, 0.5) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
CUBE_FACES = np.array(
    [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]]
)


class Builder:
    """Collects primitives, in metres, into one mesh with tints and local coordinates."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.frame = np.eye(4)
        self.materials: list[str] = []
        self._count = 0
        self._vertices: list[Array] = []
        self._local: list[Array] = []
        self._faces: list[Array] = []
        self._material: list[Array] = []
        self._tint: list[Array] = []
        self._smooth: list[Array] = []

    @contextmanager
    def at(self, *matrices: Array) -> Iterator[None]:
        """Work in a frame given relative to the present one, by matrices of shape (4, 4)."""
        saved = self.frame
        for matrix in matrices:
            self.frame = self.frame @ matrix
        try:
            yield
        finally:
            self.frame = saved

    def add(
        self,
        vertices: Array,
        faces: Array,
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
        smooth: bool = False,
        local: Array | None = None,
    ) -> None:
        """Add vertices (V, 3) and faces (F, corners); the tint is one colour or (F, 3)."""
        vertices = np.asarray(vertices, dtype=float)
        faces = np.atleast_2d(np.asarray(faces, dtype=np.int64))
        if material not in self.materials:
            self.materials.append(material)
        if local is None:
            local = vertices + self.rng.uniform(-50.0, 50.0, 3)
        self._vertices.append(vertices @ self.frame[:3, :3].T + self.frame[:3, 3])
        self._local.append(local)
        self._faces.append(faces + self._count)
        index = self.materials.index(material)
        self._material.append(np.full(len(faces), index, dtype=np.int32))
        self._tint.append(np.broadcast_to(np.asarray(tint, dtype=float), (len(faces), 3)))
        self._smooth.append(np.full(len(faces), smooth))
        self._count += len(vertices)

    def many(
        self, vertices: Array, faces: Array, material: str, tints: Array, smooth: bool = False
    ) -> None:
        """Add M copies of one topology: vertices (M, V, 3), faces (F, corners), tints (M, 3)."""
        copies, each, _ = vertices.shape
        indices = np.arange(copies)[:, None, None] * each + faces[None]
        local = vertices - vertices.mean(axis=1, keepdims=True)
        local = local + self.rng.uniform(-50.0, 50.0, (copies, 1, 3))
        self.add(
            vertices.reshape(-1, 3),
            indices.reshape(-1, faces.shape[1]),
            material,
            np.repeat(tints, len(faces), axis=0),
            smooth,
            local.reshape(-1, 3),
        )

    def box(
        self,
        centre: Vector,
        size: Vector,
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
        turn: Vector = (0.0, 0.0, 0.0),
        taper: float = 1.0,
    ) -> None:
        """Add a box, turned about x, y, z (radians), its top scaled by ``taper``."""
        dimensions = np.asarray(size, dtype=float)
        vertices = CUBE * dimensions
        vertices[4:, :2] *= taper
        order = np.argsort(-dimensions, kind="stable")
        local = vertices[:, order] + self.rng.uniform(-50.0, 50.0, 3)
        turned = rotation("z", turn[2]) @ rotation("y", turn[1]) @ rotation("x", turn[0])
        vertices = vertices @ turned[:3, :3].T + np.asarray(centre, dtype=float)
        self.add(vertices, CUBE_FACES, material, tint, local=local)

    def beam(
        self,
        start: Vector,
        end: Vector,
        width: float,
        height: float,
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
        up: Vector = (0.0, 0.0, 1.0),
    ) -> None:
        """Add a box from one point to another; ``height`` is its size towards ``up``."""
        a, b = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
        along = b - a
        length = float(np.linalg.norm(along))
        x = along / length
        y = np.cross(np.asarray(up, dtype=float), x)
        if np.linalg.norm(y) < 1e-6:
            y = np.cross([0.0, 1.0, 0.0], x)
        y /= np.linalg.norm(y)
        vertices = CUBE * [length, width, height]
        local = vertices + self.rng.uniform(-50.0, 50.0, 3)
        basis = np.stack([x, y, np.cross(x, y)])
        self.add(vertices @ basis + (a + b) / 2, CUBE_FACES, material, tint, local=local)

    def lathe(
        self,
        profile: Sequence[Vector],
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
        centre: Vector = (0.0, 0.0, 0.0),
        segments: int = 24,
        smooth: bool = True,
        sweep: tuple[float, float] = (0.0, 2.0 * math.pi),
    ) -> None:
        """Turn a profile of (radius, height) pairs about the z axis.

        A pair given twice in a row makes a sharp edge; ``sweep`` limits the azimuth (radians).
        """
        outline = np.asarray(profile, dtype=float)
        angle = np.linspace(*sweep, segments + 1)
        rows = len(outline)
        vertices = np.empty((rows, segments + 1, 3))
        vertices[..., 0] = outline[:, :1] * np.cos(angle)
        vertices[..., 1] = outline[:, :1] * np.sin(angle)
        vertices[..., 2] = outline[:, 1:]
        i, j = np.meshgrid(np.arange(rows - 1), np.arange(segments), indexing="ij")
        real = np.linalg.norm(outline[1:] - outline[:-1], axis=1)[i] > 1e-9
        i, j = i[real], j[real]
        stride = segments + 1
        faces = np.stack(
            [
                i * stride + j,
                i * stride + j + 1,
                (i + 1) * stride + j + 1,
                (i + 1) * stride + j,
            ],
            axis=1,
        )
        vertices = vertices.reshape(-1, 3) + np.asarray(centre, dtype=float)
        if smooth:
            self.add(vertices, faces, material, tint, smooth=True)
        else:
            self.add(vertices, faces, material, tint)

    def cylinder(
        self,
        start: Vector,
        end: Vector,
        radius: float,
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
        end_radius: float | None = None,
        segments: int = 12,
    ) -> None:
        """Add a capped cylinder or cone between two points."""
        a, b = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
        length = float(np.linalg.norm(b - a))
        z = (b - a) / length
        x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
        x /= np.linalg.norm(x)
        frame = np.eye(4)
        frame[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
        frame[:3, 3] = a
        tip = radius if end_radius is None else end_radius
        profile = [(0, 0), (radius, 0), (radius, 0), (tip, length), (tip, length), (0, length)]
        with self.at(frame):
            self.lathe(profile, material, tint, segments=segments)

    def tube(
        self,
        points: Array,
        radius: float | Array,
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
        segments: int = 6,
    ) -> None:
        """Add a smooth open tube along points (N, 3) with one radius or (N,) radii."""
        path = np.asarray(points, dtype=float)
        radii = np.broadcast_to(radius, (len(path),))
        along = np.gradient(path, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        helper = np.where(np.abs(along[:, 2:]) < 0.95, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
        x = np.cross(helper, along)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        y = np.cross(along, x)
        angle = np.linspace(0.0, 2.0 * np.pi, segments, endpoint=False)
        ring = x[:, None] * np.cos(angle)[:, None] + y[:, None] * np.sin(angle)[:, None]
        vertices = path[:, None] + radii[:, None, None] * ring
        i, j = np.meshgrid(np.arange(len(path) - 1), np.arange(segments), indexing="ij")
        i, j = i.ravel(), j.ravel()
        k = (j + 1) % segments
        faces = np.stack(
            [i * segments + j, i * segments + k, (i + 1) * segments + k, (i + 1) * segments + j],
            axis=1,
        )
        steps = np.concatenate([[0.0], np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()])
        local = np.empty_like(vertices)
        local[..., 0] = steps[:, None]
        local[..., 1:] = (radii[:, None] * 1.0)[..., None] * np.stack(
            [np.cos(angle), np.sin(angle)], axis=1
        )
        local = local.reshape(-1, 3) + self.rng.uniform(-50.0, 50.0, 3)
        self.add(vertices.reshape(-1, 3), faces, material, tint, smooth=True, local=local)

    def ball(
        self,
        centre: Vector,
        radius: float | Vector,
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
        segments: int = 12,
    ) -> None:
        """Add an ellipsoid with one radius or one per axis."""
        radii = np.broadcast_to(np.asarray(radius, dtype=float), (3,))
        angle = np.linspace(-math.pi / 2, math.pi / 2, segments // 2 + 1)
        profile = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        with self.at(translation(*centre), np.diag([*radii, 1.0])):
            self.lathe(profile, material, tint, segments=segments)

    def prism(
        self,
        outline: Sequence[Vector],
        low: float,
        high: float,
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
    ) -> None:
        """Extrude a counter-clockwise outline in the (x, y) plane from z = low to z = high."""
        flat = np.asarray(outline, dtype=float)
        count = len(flat)
        vertices = np.concatenate(
            [np.c_[flat, np.full(count, low)], np.c_[flat, np.full(count, high)]]
        )
        local = vertices + self.rng.uniform(-50.0, 50.0, 3)
        index = np.arange(count)
        after = (index + 1) % count
        walls = np.stack([index, after, after + count, index + count], axis=1)
        self.add(vertices, walls, material, tint, local=local)
        self.add(vertices, np.arange(count)[None] + count, material, tint, local=local)
        self.add(vertices, np.arange(count)[None, ::-1], material, tint, local=local)

    def surface(
        self,
        grid: Array,
        material: str,
        tint: Array | Vector = (1.0, 1.0, 1.0),
        smooth: bool = True,
        closed: bool = False,
    ) -> None:
        """Add a grid of points (rows, columns, 3); ``closed`` joins last column to first."""
        rows, columns, _ = grid.shape
        i, j = np.meshgrid(
            np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij"
        )
        i, j = i.ravel(), j.ravel()
        k = (j + 1) % columns
        faces = np.stack(
            [i * columns + j, i * columns + k, (i + 1) * columns + k, (i + 1) * columns + j],
            axis=1,
        )
        self.add(grid.reshape(-1, 3), faces, material, tint, smooth=smooth)

    def stones(
        self,
        centres: Array,
        axes: Array,
        sizes: Array,
        material: str,
        tints: Array,
        inset: float = 0.12,
    ) -> None:
        """Add M stones with bevelled fronts.

        Args:
            centres: middles of their backs, (M, 3), metres.
            axes: rows are the width, height and outward directions, (M, 3, 3) or (3, 3).
            sizes: width, height and thickness, (M, 3), metres.
            material: name of the material.
            tints: (M, 3).
            inset: bevel as a fraction of the smaller of width and height.
        """
        count = len(centres)
        axes = np.broadcast_to(axes, (count, 3, 3))
        half = sizes[:, :2] / 2
        bevel = inset * half.min(axis=1, keepdims=True) * 2
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=float)
        back = corners * half[:, None]
        front = corners * (half - bevel)[:, None]
        wobble = self.rng.normal(0.0, 0.25, (count, 4, 2)) * bevel[:, None]
        depth = sizes[:, None, 2:]
        shoulder = np.concatenate(
            [back, np.broadcast_to(depth - bevel[:, None] * 0.8, (count, 4, 1))], 2
        )
        top = np.concatenate([front + wobble, np.broadcast_to(depth, (count, 4, 1))], axis=2)
        base = np.concatenate([back, np.zeros((count, 4, 1))], axis=2)
        vertices = np.einsum("mvi,mij->mvj", np.concatenate([base, shoulder, top], 1), axes)
        vertices = vertices + centres[:, None]
        ring = np.array([[i, (i + 1) % 4, (i + 1) % 4 + 4, i + 4] for i in range(4)])
        faces = np.concatenate([ring, ring + 4, [[8, 9, 10, 11]]])
        self.many(vertices, faces, material, tints)

    def leaves(
        self,
        points: Array,
        size: float,
        material: str,
        tints: Array,
        facing: Array | None = None,
        scatter: float = 0.6,
        slender: float = 0.32,
    ) -> None:
        """Add leaves: folded rhombs at points (M, 3), looking about along ``facing`` (M, 3).

        ``size`` is their mean length in metres, ``slender`` half the width as a part of it.
        """
        count = len(points)
        normal = self.rng.normal(size=(count, 3))
        if facing is not None:
            normal = facing + scatter * normal
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        along = np.cross(normal, self.rng.normal(size=(count, 3)))
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        across = np.cross(normal, along)
        length = size * np.exp(self.rng.normal(0.0, 0.25, (count, 1)))
        tip, side = along * length * 0.5, across * length * slender
        fold = normal * length * 0.10
        vertices = np.stack(
            [points - tip, points + side + fold, points + tip, points - side + fold], axis=1
        )
        self.many(vertices, np.array([[0, 1, 2], [0, 2, 3]]), material, tints)

    def finish(self, name: str) -> bpy.types.Object:
        """Make the Blender object; its materials must exist under the names that were used."""
        mesh = bpy.data.meshes.new(name)
        vertices = np.concatenate(self._vertices)
        corners = np.concatenate([faces.ravel() for faces in self._faces])
        totals = np.concatenate([np.full(len(f), f.shape[1]) for f in self._faces])
        mesh.vertices.add(len(vertices))
        mesh.vertices.foreach_set("co", vertices.ravel().astype(np.float32))
        mesh.loops.add(len(corners))
        mesh.loops.foreach_set("vertex_index", corners.astype(np.int32))
        mesh.polygons.add(len(totals))
        starts = np.concatenate([[0], np.cumsum(totals)[:-1]])
        mesh.polygons.foreach_set("loop_start", starts.astype(np.int32))
        mesh.polygons.foreach_set("material_index", np.concatenate(self._material))
        mesh.polygons.foreach_set("use_smooth", np.concatenate(self._smooth))
        for material in self.materials:
            mesh.materials.append(bpy.data.materials[material])
        tint = mesh.attributes.new("tint", "FLOAT_COLOR", "FACE")
        colours = np.concatenate(self._tint)
        tint.data.foreach_set("color", np.c_[colours, np.ones(len(colours))].ravel())
        local = mesh.attributes.new("local", "FLOAT_VECTOR", "POINT")
        local.data.foreach_set("vector", np.concatenate(self._local).ravel())
        mesh.update(calc_edges=True)
        mesh.validate()
        item = bpy.data.objects.new(name, mesh)
        bpy.context.scene.collection.objects.link(item)
        return item


Socket = Any
"""A node's output, or a constant where an input would take one."""


class Shader:
    """A few short hands to write a node tree as nested calls; sockets in, sockets out."""

    def __init__(self, tree: bpy.types.NodeTree, output: str = "OutputMaterial") -> None:
        self.tree = tree
        self.output = output
        tree.nodes.clear()

    def node(self, kind: str, inputs: dict[Any, Socket] | None = None, **settings: Any) -> Any:
        """Make a node, connect or set its inputs (by name or index), set its properties."""
        node = self.tree.nodes.new("ShaderNode" + kind)
        for key, value in settings.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            if value is None:
                continue
            socket = node.inputs[key]
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, socket)
            elif socket.type == "RGBA":
                socket.default_value = (*tuple(value)[:3], 1.0)
            else:
                socket.default_value = value
        return node

    def attribute(self, name: str, output: str = "Color") -> Socket:
        """Read an attribute of the mesh."""
        return self.node("Attribute", attribute_name=name).outputs[output]

    def position(self) -> Socket:
        """World position (metres)."""
        return self.node("NewGeometry").outputs["Position"]

    def scaled(self, vector: Socket, scale: Vector) -> Socket:
        """Multiply a vector per axis."""
        return self.node("VectorMath", {0: vector, 1: scale}, operation="MULTIPLY").outputs[0]

    def noise(
        self,
        vector: Socket,
        scale: float,
        detail: float = 3.0,
        roughness: float = 0.55,
        distortion: float = 0.0,
    ) -> Socket:
        """Fractal noise in about [0, 1]."""
        inputs = {
            "Vector": vector,
            "Scale": scale,
            "Detail": detail,
            "Roughness": roughness,
            "Distortion": distortion,
        }
        return self.node("TexNoise", inputs).outputs[0]

    def voronoi(self, vector: Socket, scale: float, output: str = "Color", **settings: Any) -> Any:
        """Cells; their random colour, or the distance to a feature."""
        return self.node("TexVoronoi", {"Vector": vector, "Scale": scale}, **settings).outputs[
            output
        ]

    def math(self, operation: str, a: Socket, b: Socket = 0.0, clamp: bool = False) -> Socket:
        """One arithmetic operation on numbers."""
        return self.node("Math", {0: a, 1: b}, operation=operation, use_clamp=clamp).outputs[0]

    def remap(self, value: Socket, low: float, high: float, to: Vector = (0.0, 1.0)) -> Socket:
        """Map [low, high] linearly to ``to`` and clamp."""
        inputs = {0: value, 1: low, 2: high, 3: to[0], 4: to[1]}
        return self.node("MapRange", inputs).outputs[0]

    def mix(self, factor: Socket, a: Socket, b: Socket, mode: str = "MIX") -> Socket:
        """Blend two colours."""
        node = self.node("Mix", data_type="RGBA", blend_type=mode)
        for index, value in ((0, factor), (6, a), (7, b)):
            socket = node.inputs[index]
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, socket)
            elif index == 0:
                socket.default_value = value
            else:
                socket.default_value = (*tuple(value)[:3], 1.0)
        return node.outputs[2]

    def ramp(self, factor: Socket, stops: Sequence[tuple[float, Array | Vector]]) -> Socket:
        """Look a number up in a colour ramp of (position, linear RGB) stops."""
        node = self.node("ValToRGB", {0: factor})
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(0.5)
        for element, (place, colour) in zip(elements, stops, strict=True):
            element.position = place
            element.color = (*tuple(colour)[:3], 1.0)
        return node.outputs[0]

    def bump(self, height: Socket, distance: float, strength: float = 1.0) -> Socket:
        """Normal from a height in [0, 1] that stands for ``distance`` metres."""
        inputs = {"Height": height, "Distance": distance, "Strength": strength}
        return self.node("Bump", inputs).outputs[0]

    def principled(self, colour: Socket, roughness: Socket = 0.7, **inputs: Socket) -> Socket:
        """The general purpose surface; further inputs by name with ``_`` for a space."""
        named = {key.replace("_", " "): value for key, value in inputs.items()}
        named.update({"Base Color": colour, "Roughness": roughness})
        return self.node("BsdfPrincipled", named).outputs[0]

    def no_lamp(self) -> None:
        """Let the material glow without being sampled as a light: less noise, no visible loss."""
        for made in bpy.data.materials:
            if made.node_tree == self.tree:
                made.cycles.emission_sampling = "NONE"

    def finish(self, surface: Socket) -> None:
        """Connect the surface (or the world's background) to the output."""
        self.node(self.output, {"Surface": surface})


def material(name: str) -> Shader:
    """Make an empty material and return the means to fill it."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    return Shader(made.node_tree)


def world() -> Shader:
    """Make an empty world (what surrounds the scene) and return the means to fill it."""
    made = bpy.data.worlds.new("world")
    made.use_nodes = True
    bpy.context.scene.world = made
    return Shader(made.node_tree, "OutputWorld")


def add_sun(azimuth: float, elevation: float, strength: float, colour: Array, size: float) -> None:
    """Add a sun (angles in degrees, irradiance in W/m^2, ``size`` its apparent diameter)."""
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.color, light.angle = strength, tuple(colour), math.radians(size)
    item = bpy.data.objects.new("sun", light)
    a, e = math.radians(azimuth), math.radians(elevation)
    towards = Matrix.Rotation(a, 4, "Z") @ Matrix.Rotation(math.pi / 2 - e, 4, "Y")
    item.matrix_world = towards
    bpy.context.scene.collection.objects.link(item)


def start_scene(
    size: tuple[int, int], samples: int, transparent: bool, look: str, exposure: float = 0.0
) -> None:
    """Empty the file and set Cycles up: CPU, denoised, ``size`` = (width, height) in pixels."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.denoising_prefilter = "FAST"
    cycles.debug_use_spatial_splits = True  # long thin things: leaves, straws, strings
    cycles.use_light_tree = False  # one sun and the sky
    cycles.max_bounces = 4
    cycles.diffuse_bounces = 2
    cycles.glossy_bounces = 3
    cycles.transmission_bounces = 3
    cycles.transparent_max_bounces = 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0  # the rest of the energy is fireflies at this few samples
    cycles.seed = 1
    render = scene.render
    render.resolution_x, render.resolution_y = size
    render.resolution_percentage = 100
    render.film_transparent = transparent
    render.use_persistent_data = True
    render.threads_mode, render.threads = "FIXED", min(2, os.cpu_count() or 1)
    render.dither_intensity = 0.0
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGBA" if transparent else "RGB"
    render.image_settings.compression = 0
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = look
    scene.view_settings.exposure = exposure
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.clip_start, camera.data.clip_end = 0.05, 2000.0
    scene.collection.objects.link(camera)
    scene.camera = camera


def render(pose: Array, focal: float) -> Image.Image:
    """Render from a camera-to-world pose (4, 4), OpenGL axes, with a focal length in pixels."""
    scene = bpy.context.scene
    size = scene.render.resolution_x, scene.render.resolution_y
    camera = scene.camera
    camera.data.sensor_fit = "HORIZONTAL"
    camera.data.sensor_width = 36.0
    camera.data.lens = 36.0 * focal / size[0]
    camera.matrix_world = Matrix(np.asarray(pose).tolist())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "view.png"
        scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        with Image.open(path) as image:
            image.load()
            return image.copy()


def missing_cameras(
    file: Path, out: Path, scale: float = 1.0
) -> tuple[tuple[int, int], float, list[tuple[Path, Array]]]:
    """What is to be rendered of a file of cameras, as ``ground_truth_cameras.json`` is one.

    Args:
        file: JSON with ``width``, ``height``, ``focal_pixels`` and ``frames``, each of a ``file``
            below ``out`` and its ``camera_to_world``: (4, 4), OpenGL axes, the scene's own frame.
        out: the pictures' folder.
        scale: of the size, for previews.

    Returns:
        Width and height, the focal length in pixels, and the path and pose of each missing picture.
    """
    cameras = json.loads(file.read_text())
    size = (round(cameras["width"] * scale), round(cameras["height"] * scale))
    frames = [(out / frame["file"], frame["camera_to_world"]) for frame in cameras["frames"]]
    if outside := [path for path, _ in frames if not path.resolve().is_relative_to(out.resolve())]:
        raise ValueError(f"{file}: {outside[0]} is not below {out}")
    missing = [(path, np.array(pose, float)) for path, pose in frames if not path.exists()]
    return size, cameras["focal_pixels"] * scale, missing


def save(image: Image.Image, path: Path, **options: Any) -> None:
    """Write an image in one step, so that an interrupted run leaves no half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}{path.suffix}")
    image.save(partial, **options)
    partial.replace(path)


def save_blend(path: Path) -> None:
    """Save the scene as a Blender file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path.absolute()), compress=True)


def thrifty(image: Image.Image, step: int = 4) -> Image.Image:
    """Spend no bytes on what nobody sees.

    Colours are rounded to multiples of ``step`` (4: at most two levels off, and a quarter of the
    file saved); that of fully transparent pixels, which is arbitrary, becomes zero.
    """
    pixels = np.array(image.convert("RGBA"))
    levels = np.round(pixels[..., :3] / step) * step
    pixels[..., :3] = np.minimum(levels, 255).astype(np.uint8)
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels)


def save_png(image: Image.Image, path: Path) -> None:
    """Write an RGBA image as a small PNG, in one step like :func:`save`.

    Each row gets the filter that leaves it the least entropy, which suits rounded colours better
    than the usual choice (by absolute sum), by a tenth of the file.
    """
    pixels = np.asarray(image).astype(np.int16)
    height, width, _ = pixels.shape
    left, above, corner = (np.zeros_like(pixels) for _ in range(3))
    left[:, 1:], above[1:], corner[1:, 1:] = pixels[:, :-1], pixels[:-1], pixels[:-1, :-1]
    guess = left + above - corner
    far = [np.abs(guess - other) for other in (left, above, corner)]
    nearest = np.where(
        (far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner)
    )
    filters = [np.zeros_like(pixels), left, above, (left + above) // 2, nearest]
    filtered = [((pixels - f) % 256).astype(np.uint8).reshape(height, -1) for f in filters]

    def entropy(row: Array) -> float:
        share = np.bincount(row)
        share = share[share > 0] / len(row)
        return float(-(share * np.log2(share)).sum())

    raw = bytearray()
    for row in range(height):
        kind = int(np.argmin([entropy(candidate[row]) for candidate in filtered]))
        raw += bytes([kind]) + filtered[kind][row].tobytes()

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    packed = []
    for level in (8, 9):  # memory levels: neither is always the better one
        packer = zlib.compressobj(9, zlib.DEFLATED, 15, level)
        packed.append(packer.compress(bytes(raw)) + packer.flush())
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", min(packed, key=len)) + chunk(b"IEND", b"")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}{path.suffix}")
    partial.write_bytes(data)
    partial.replace(path)
