"""One file, read back: the same pictures bit for bit, without the workflow, and no nonsense."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import dac
from dac.catalogue import choose_model
from dac.conquer.routed import RoutedModel
from dac.conquer.routed import load as load_routed
from dac.errors import UserError
from dac.evaluation.records import Evaluation
from dac.evaluation.render import render_view
from dac.export.camera import Camera
from dac.export.model_file import CHUNK_RAYS, load, read_contents, tensors_digest
from dac.export.publish import export_model
from dac.fields.model import load_model
from dac.scenes.scene import Scene

VIEWS = ("intrinsics", "distortion", "world_from_camera")
ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = {
    *("snakemake", "pycolmap", "networkx", "sklearn", "pandas", "matplotlib"),
    *("viser", "av", "trimesh", "skimage"),
}


def test_pictures_are_the_same_bit_for_bit(results: Path, exported: Path) -> None:
    scene = Scene.load(results / "toy/scene")
    model = load_model(results / "toy/kplanes/seed0/baseline-20")
    field = dac.load(exported, device="cpu")
    focal = float(scene.cameras.intrinsics[0, 0])
    for view in (0, 5):
        camera = Camera(scene.cameras.world_from_camera[view].numpy(), focal, 24, 24)
        expected = render_view(model, scene.cameras, view, torch.ones(3), CHUNK_RAYS)
        for ours, theirs in zip(field.render(camera), expected, strict=True):
            assert ours.dtype == torch.float32 and torch.equal(ours, theirs)
    default = render_view(model, scene.cameras, scene.train[0], torch.ones(3), CHUNK_RAYS)
    assert torch.equal(field.render().rgb, default.rgb)
    wide = field.render(width=30, height=20)
    assert wide.rgb.shape == (20, 30, 3) and wide.depth.shape == wide.accumulation.shape == (20, 30)


def test_what_goes_with_the_weights(results: Path, exported: Path) -> None:
    contents = read_contents(exported)
    scene = Scene.load(results / "toy/scene")
    record = Evaluation.load(results / "toy/kplanes/seed0/baseline-20/evaluation")
    assert contents.space.model_dump(mode="json") == scene.space.to_json()
    assert np.array_equal(contents.world_from_data, scene.world_from_data)
    assert contents.background == (1, 1, 1)
    about = contents.about
    assert (about.scene, about.model, about.seed, about.steps) == ("toy", "baseline-20", 0, 20)
    assert (about.views, about.scored_views) == (12, 2)
    assert about.psnr == record.mean.psnr and about.commit == record.git_commit
    # The tensors are plain safetensors, for any reader.
    tensors = load_file(exported)
    model = load_model(results / "toy/kplanes/seed0/baseline-20")
    views = scene.cameras.select(scene.train)
    ours = model.state_dict() | {f"views.{name}": getattr(views, name) for name in VIEWS}
    assert tensors.keys() == ours.keys()
    assert all(torch.equal(tensors[name], ours[name]) for name in ours)


def test_the_training_views_come_back_bit_for_bit(results: Path, exported: Path) -> None:
    scene = Scene.load(results / "toy/scene")
    views, expected = load(exported).views, scene.cameras.select(scene.train)
    assert views is not None
    assert (views.model, views.width, views.height) == ("perspective", 24, 24)
    for name in VIEWS:
        assert torch.equal(getattr(views, name), getattr(expected, name))


def test_a_routed_model_is_the_same_bit_for_bit(results: Path, routed: Path) -> None:
    scene, field = Scene.load(results / "toy/scene"), load(routed, device="cpu")
    model = load_routed(results / "toy/kplanes/seed0/louvain-2/trunk-5-of-20/routed")
    assert isinstance(model, RoutedModel) and isinstance(field.model, RoutedModel)
    blended = [len(shares[shares > 0]) for shares in model.router.shares(scene.cameras)]
    assert set(blended) == {1, 2, 3}
    focal = float(scene.cameras.intrinsics[0, 0])
    for view in range(len(scene.names)):
        camera = Camera(scene.cameras.world_from_camera[view].numpy(), focal, 24, 24)
        expected = render_view(model, scene.cameras, view, torch.ones(3), CHUNK_RAYS)
        for ours, theirs in zip(field.render(camera), expected, strict=True):
            assert torch.equal(ours, theirs)
    router = read_contents(routed).router
    assert router is not None
    assert (router.by, router.count, router.views, router.packed) == ("poses", 2, 12, True)
    assert router.generalist == (0.0, 0.4)
    card = routed.with_suffix(".md").read_text()
    assert "It is\na router and 3 experts, K-Planes models (hybrid decoder) of" in card
    weights = sum(v.nbytes for name, v in load_file(routed).items() if name[:6] != "views.")
    share = weights / sum(4 * v.numel() for v in model.experts[0].parameters())
    assert f"All 3 models\ntogether take {share:.2f} times the bytes of one in float32" in card
    assert "The last of them is a generalist" in card


def test_a_file_of_version_2_is_read_too(exported: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.safetensors"
    contents = json.loads(described(exported)["dac"])
    assert contents.pop("router") is None
    save_file(load_file(exported), old, {"dac": json.dumps({**contents, "version": 2})})
    assert load(old).contents.version == 2
    assert torch.equal(load(old).render().rgb, load(exported).render().rgb)


def test_a_file_of_version_1_is_read_too(exported: Path, version_1: Path) -> None:
    old, new = load(version_1), load(exported)
    assert old.contents.version == 1 and old.views is None
    assert torch.equal(old.render().rgb, new.render().rgb)


def test_the_same_model_gives_the_same_bytes(results: Path, exported: Path, tmp_path: Path) -> None:
    trained = choose_model(results, "toy", "baseline")
    for i in range(4):
        out = tmp_path / f"{i}.safetensors"
        export_model(Scene.load(results / "toy/scene"), trained, out, tmp_path / "card.md")
        assert out.read_bytes() == exported.read_bytes()


def test_an_expert_needs_no_evaluation(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "expert.safetensors"
    trained = choose_model(results, "toy", "expert1")
    export_model(Scene.load(results / "toy/scene"), trained, out, tmp_path / "card.md")
    about = read_contents(out).about
    assert (about.division, about.K, about.psnr, about.commit) == ("azimuth", 2, None, None)
    card = (tmp_path / "card.md").read_text()
    assert "| division | azimuth, K = 2 |" in card and "not measured" in card


FRESH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
import dac
heavy = [name for name in ("torch", "numpy", "pydantic") if name in sys.modules]
assert not heavy, heavy
{code}
assert not set({blocked}) & set(sys.modules)
"""


def fresh(code: str, folder: Path) -> None:
    """Run code in a process of its own, where the workflow's packages can't be imported."""
    text = FRESH.format(blocked=WORKFLOW, code=code)
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["exported", "routed"])
def test_the_cards_ten_lines_work_without_the_workflow(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    exported = request.getfixturevalue(kind)
    card = exported.with_suffix(".md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    (tmp_path / exported.name).symlink_to(exported)
    fresh(code + "\nassert view.depth.shape == (24, 24)", tmp_path)
    assert (tmp_path / "view.png").stat().st_size > 100


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        dac.loads  # noqa: B018


def described(file: Path, **changes: Any) -> dict[str, str]:
    """A file's metadata with other contents."""
    with safe_open(file, "pt") as opened:
        data = json.loads(opened.metadata()["dac"])
    return {"dac": json.dumps({**data, **changes})}


def resaved(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """The file with other contents."""

    def apply(file: Path) -> None:
        with safe_open(file, "pt") as opened:
            data = json.loads(opened.metadata()["dac"])
        change(data)
        save_file(load_file(file), file, {"dac": json.dumps(data)})

    return apply


def bent(name: str, place: tuple[int, ...], value: float) -> Callable[[Path], None]:
    """The file with another number in a tensor, and the digest that goes with it."""

    def apply(file: Path) -> None:
        tensors = load_file(file)
        tensors[name][place] = value
        save_file(tensors, file, described(file, weights_sha256=tensors_digest(tensors)))

    return apply


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)


def foreign(file: Path) -> None:
    save_file({"weight": torch.zeros(3)}, file, {"format": "pt"})


def no_json(file: Path) -> None:
    save_file({"weight": torch.zeros(3)}, file, {"dac": "{" * 5000})


def endless(file: Path) -> None:
    file.write_bytes((2**40).to_bytes(8, "little") + b"{}")


def large(key: str, value: Any) -> Callable[[Path], None]:
    return resaved(lambda data: data["settings"].update({key: value}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "no such file"),
        (lambda file: file.write_bytes(b""), "no model file"),
        (lambda file: file.write_bytes(file.read_bytes()[:500]), "truncated"),
        (lambda file: file.write_bytes(file.read_bytes()[:-40]), "truncated"),
        (lambda file: file.write_text("not a model at all, but text"), "no model file"),
        (flip, "its weights are not those that were written"),
        (foreign, "not of this project"),
        (no_json, "is no JSON"),
        (endless, "no model file"),
        (resaved(lambda data: data.update(version=4)), "has version 4, and this program reads"),
        (resaved(lambda data: data.pop("version")), "has version None"),
        (resaved(lambda data: data.update(code="print()")), "code: unknown key"),
        (resaved(lambda data: data.pop("space")), "space: missing"),
        (resaved(lambda data: data["space"].update(near=9.0)), "space"),
        (resaved(lambda data: data["camera"].update(focal=-1)), "camera.focal"),
        (
            resaved(lambda data: data["views"].update(width=10**5, height=10**5)),
            "views: pictures have over 150000000 pixels",
        ),
        (resaved(lambda data: data["views"].update(count=13)), "not those of the model"),
        (resaved(lambda data: data["views"].update(count=10**9)), "not those of the model"),
        (resaved(lambda data: data.pop("views")), "not those of the model"),
        (resaved(lambda data: data["world_from_data"][0].reverse()), "is no similarity"),
        (bent("views.intrinsics", (0, 0), -1.0), "training views can't be: a focal length"),
        (bent("views.world_from_camera", (2, 0, 1), 3.0), "can't be: the rotation is not"),
        (bent("views.distortion", (1, 1), math.inf), "NaN or infinite"),
        (bent("field.planes.0", (0, 0, 0), math.nan), "NaN or infinite"),
        (large("channels", 4), "not those of the model"),
        (large("resolution", 10**9), "not those of the model"),
        (large("scales", [10**9]), "not those of the model"),
        (large("colour_layers", 10**9), "not those of the model"),
        (large("decoder", "explicit"), "not those of the model"),
    ],
)
def test_damage_is_one_clear_line(
    exported: Path, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(exported.read_bytes())
    damage(file)
    with pytest.raises(UserError, match=said) as caught:
        load(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def routers(**changes: Any) -> Callable[[Path], None]:
    return resaved(lambda data: data["router"].update(changes))


def replaced(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """The file with another tensor, and the digest that goes with it."""

    def apply(file: Path) -> None:
        tensors = load_file(file)
        tensors[name] = change(tensors[name]).contiguous()
        save_file(tensors, file, described(file, weights_sha256=tensors_digest(tensors)))

    return apply


STREAM, SCALE = "experts.1.field.planes.1", "scale.field.planes.1"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, "its weights are not those that were written"),
        (routers(count=0), "router.count"),
        (routers(count=257), "router.count"),
        (routers(count=3), "a share for each group"),
        (routers(count=3, generalist=[0, 0, 0]), "not those of the model"),
        (routers(count=1, generalist=[0]), "not those of the model"),
        (routers(views=11), "not those of the model"),
        (routers(views=10**9), "not those of the model"),
        (routers(views=0), "sectors need no views"),
        (routers(by="sectors"), "sectors need no views"),
        (routers(by="chance"), "router.by"),
        (routers(blend=1.5), "router.blend"),
        (routers(generalist=None), "not those of the model"),
        (routers(generalist=[0.5]), "a share for each group"),
        (routers(generalist=[0.5, -0.5]), "router.generalist.1"),
        (routers(packed=False), "not those of the model"),
        (resaved(lambda data: data.pop("router")), "not those of the model"),
        (large("resolution", 10**4), "not those of the model"),
        (large("resolution", 10**9), "not those of the model"),
        (large("colour_layers", 10**9), "not those of the model"),
        (bent("router.owner", (0,), 2), "knows views of experts that it has not"),
        (bent("router.owner", (0,), -1), "knows views of experts that it has not"),
        (bent("router.poses", (1, 0, 1), 3.0), "router can't be: the rotation is not"),
        (bent("router.poses", (1, 0, 3), math.nan), "NaN or infinite"),
        (bent(SCALE, (0, 1, 1), math.nan), "NaN or infinite"),
        (bent(SCALE, (1, 1, 1), 3e38), "NaN or infinite"),
        (replaced(STREAM, lambda v: v[:-3]), "router can't be: a stream of codes"),
        (replaced(STREAM, lambda v: v[:9]), "not those of the model"),
        (replaced(STREAM, lambda v: torch.cat([v] * 9)), "not those of the model"),
        (replaced(STREAM, lambda v: v.view(1, -1)), "not those of the model"),
        (replaced(STREAM, lambda v: v.float()), "not those of the model"),
        (replaced(SCALE, lambda v: v.half()), "not those of the model"),
        (replaced("router.owner", lambda v: v.int()), "not those of the model"),
    ],
)
def test_damage_of_a_routed_file_is_one_clear_line(
    routed: Path, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    test_damage_is_one_clear_line(routed, tmp_path, damage, said)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path)
