"""Structure from motion on a folder of photos, with pycolmap on the CPU.

Steps: SIFT features, matching (all pairs, the promising ones of all pairs, or neighbours in a
sequence), incremental or global mapping. The largest model is kept. The folder `work` is state that
a second run takes up, however the first ended (see `dac.scenes.sfm.state`); a finished result lies
there, too.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dac.scenes.sfm.inputs import (
    Photo,
    camera_group,
    check_sizes,
    chosen_photos,
    colmap_folder,
    colmap_masks,
    decode_photos,
    digests_of,
    masks_of,
)
from dac.scenes.sfm.pairs import BEST, COARSEST, can_list, promising_pairs
from dac.scenes.sfm.pycolmap_loader import duration, load_pycolmap, told_progress
from dac.scenes.sfm.report import check_registered, make_report
from dac.scenes.sfm.state import SfmState, remove_database
from dac.settings import SfmSettings
from dac.storage.artifacts import (
    explained_disk_errors,
    read_json,
    require_space,
    sha256,
    write_file,
    write_json,
)
from dac.storage.provenance import source_digest
from dac.storage.states import Finished, digest_of

_LOG = logging.getLogger("dac.sfm")
_MODEL_FILES = ("cameras.bin", "images.bin", "points3D.bin")
# Up to here, choosing pairs saves less than a minute.
_ALL_PAIRS_UP_TO = 50
_KEYPOINT_BYTES = 24
_DESCRIPTOR_BYTES = 128
# Half the longer side is a lens of 115 degrees. Fisheye pairs can't be verified without a focal
# length to start from; mapping finds the true one.
_FISHEYE_FOCAL = 0.5
# Two-view models are guesses; three views is the least that checks itself.
_SMALLEST_MODEL = 3


def run_sfm(
    photos: Path,
    settings: SfmSettings,
    out: Path,
    work: Path,
    *,
    threads: int,
    exclude: Sequence[str] = (),
    masks: Path | None = None,
) -> dict[str, Any]:
    """Find the cameras and a sparse cloud of points of a folder of photos.

    Args:
        photos: folder of photos; names in the model are paths below it.
        settings: what to do.
        out: gets cameras.bin, images.bin, points3D.bin and report.json, all or nothing.
        work: resumable state; may be deleted at any time between runs.
        threads: CPU threads.
        exclude: names of photos to leave out.
        masks: folder of masks, named as the photos: features are sought where they are white. What
            is transparent in a photo has none in any case.

    Returns:
        What report.json holds: images, registered, unregistered, models, points,
        mean_reprojection_error (pixels), mean_track_length, seconds, cameras, pycolmap, log.

    Raises:
        UserError: fewer than two photos, a damaged one or its mask, sizes that don't fit the camera
            setting, too few registered, no room on the disk.
    """
    pycolmap = load_pycolmap()
    names = chosen_photos(photos, exclude)
    mask_files = masks_of(masks, names)
    digests = digests_of(photos, names)
    digests |= {f"{name}, its mask": sha256(file) for name, file in mask_files.items()}
    sources = [pycolmap.__version__, source_digest("dac.scenes.sfm.reconstruct")]
    finished = Finished(work, digest_of(settings.model_dump(mode="json"), digests, sources))
    if finished.restore(out):
        report: dict[str, Any] = read_json(out / "report.json")
        return report
    seconds: dict[str, float] = {}
    with explained_disk_errors(work):
        work.mkdir(parents=True, exist_ok=True)
        with _timed("reading", seconds):
            found = decode_photos(photos, names)
            check_sizes(photos, found, settings.camera)
            require_space(work, _space(settings, found, work))
            folder = colmap_folder(photos, found, work)
            masked = colmap_masks(photos, found, mask_files, work)
        features, matches = _digests(settings, digests, pycolmap.__version__)
        state = SfmState(pycolmap, work, features, matches)
        reconstruction = _Reconstruction(pycolmap, settings, state, threads, masked)
        models, how = reconstruction.run(folder, found, seconds)
    best = models[0] if models else None
    check_registered(photos, names, best, settings, how)
    report = make_report(names, models, seconds, reconstruction.log, pycolmap.__version__)
    with finished.new_folder(out) as part:
        _write(models[0], report, part)
    return report


def _digests(settings: SfmSettings, photos: dict[str, str], version: str) -> tuple[str, str]:
    """Of all that features and matches are made from."""
    values = settings.model_dump(mode="json")
    keys = ("camera", "camera_model", "max_image_size", "max_features")
    features = digest_of(version, {key: values[key] for key in keys}, photos)
    keys = ("matching", "exhaustive_up_to", "sequential_overlap", "seed")
    return features, digest_of(features, {key: values[key] for key in keys})


def _space(settings: SfmSettings, photos: Sequence[Photo], work: Path) -> int:
    """Bytes that the state may yet take: SQLite ends the process where the disk is full."""
    features = sum(min(settings.max_features, p.width * p.height // 16) for p in photos)
    # Twice: matches, and SQLite's log.
    database = 2 * features * (_KEYPOINT_BYTES + _DESCRIPTOR_BYTES)
    database *= 1 if settings.mapping == "incremental" else 2  # the copy that is calibrated
    upright = sum(3 * p.width * p.height for p in photos if p.needs_copy)
    there = sum(file.stat().st_size for file in work.glob("database.db*"))
    return max(0, database + upright - there)


@contextmanager
def _timed(step: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[step] = time.monotonic() - start
    _LOG.info("%s: %s", step, duration(seconds[step]))


def _write(model: Any, report: dict[str, Any], folder: Path) -> None:
    model.write_binary(folder)
    for file in folder.iterdir():  # rigs and frames say nothing that the images don't
        if file.name not in _MODEL_FILES:
            file.unlink()
    write_json(folder / "report.json", report)


@dataclass
class _Reconstruction:
    """One run: its state, and what it said."""

    pycolmap: Any
    settings: SfmSettings
    state: SfmState
    threads: int
    masks: Path | None
    log: list[str] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return self.state.database

    def tell(self, sentence: str) -> None:
        _LOG.info(sentence)
        self.log.append(sentence)

    def run(
        self, folder: Path, photos: Sequence[Photo], seconds: dict[str, float]
    ) -> tuple[list[Any], str]:
        """All steps.

        Args:
            folder: where COLMAP finds the photos.
            seconds: gets the time of each step.

        Returns:
            Reconstructions, the largest first, and how photos were matched; see `map`, `match`.
        """
        turned = sum(photo.orientation != 1 for photo in photos)
        if turned:
            self.tell(f"Turned {turned} of {len(photos)} photos upright (EXIF orientation).")
        if self.masks is not None:
            self.tell("Features were sought only where masks and alpha leave the photos.")
        with _timed("features", seconds):
            self.extract(folder, photos)
        with _timed("matches", seconds):
            how = self.match([photo.name for photo in photos])
        with _timed("mapping", seconds):
            return self.map(folder, len(photos)), how

    def _done(self, step: str) -> bool:
        if not self.state.get(step):
            return False
        self.tell(f"Features were {step} by an earlier run.")
        return True

    def extract(self, folder: Path, photos: Sequence[Photo]) -> None:
        """SIFT features of every photo, and the cameras, into the database."""
        if self._done("extracted"):
            return
        with told_progress(self.database, "keypoints", "photos have features", len(photos)):
            for camera, missing in self._without_features(photos):
                self._extract(folder, missing, camera)
        self.state.finish("extracted")

    def _without_features(self, photos: Sequence[Photo]) -> list[tuple[int | None, list[Photo]]]:
        """The photos that lack features, by camera, with the one that others of them have already.

        COLMAP would give them a new one: it doesn't look at photos that have features.
        """
        kind, have = self.settings.camera, set()
        cameras: dict[str, int] = {}
        if self.database.is_file():
            with self.pycolmap.Database.open(self.database) as database:
                images = database.read_all_images()
                have = {
                    image.name
                    for image in images
                    if database.exists_keypoints(image.image_id)
                    and database.exists_descriptors(image.image_id)
                }
            cameras = {camera_group(image.name, kind): image.camera_id for image in images}
        missing: dict[str, list[Photo]] = {}
        for photo in photos:
            if photo.name not in have:
                missing.setdefault(camera_group(photo.name, kind), []).append(photo)
        return [(cameras.get(group), lacking) for group, lacking in missing.items()]

    def _extract(self, folder: Path, photos: Sequence[Photo], camera: int | None) -> None:
        """Features of photos that share a camera: a new one, or the one of that number."""
        pycolmap = self.pycolmap
        options = pycolmap.FeatureExtractionOptions()
        options.use_gpu = False
        options.num_threads = self.threads
        options.max_image_size = self.settings.max_image_size
        options.sift.max_num_features = self.settings.max_features
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = self.settings.camera_model
        if self.masks is not None:
            reader.mask_path = self.masks
        if camera is not None:
            reader.existing_camera_id = camera
        elif self.settings.camera_model == "OPENCV_FISHEYE":
            width, height = photos[0].width, photos[0].height
            focal = _FISHEYE_FOCAL * max(width, height)
            reader.camera_params = f"{focal},{focal},{width / 2},{height / 2},0,0,0,0"
        pycolmap.extract_features(
            self.database,
            folder,
            image_names=[photo.name for photo in photos],
            camera_mode=pycolmap.CameraMode.SINGLE,
            reader_options=reader,
            extraction_options=options,
            device=pycolmap.Device.cpu,
        )

    def match(self, names: Sequence[str]) -> str:
        """Match pairs of photos and verify them by their epipolar geometry.

        Returns:
            How: `all` pairs, `promising` ones, or `sequential`.
        """
        how = self._matching(names)
        if self._done("matched"):
            return how
        pycolmap = self.pycolmap
        options = pycolmap.FeatureMatchingOptions()
        options.use_gpu = False
        options.num_threads = self.threads
        verification = pycolmap.TwoViewGeometryOptions()
        verification.ransac.random_seed = self.settings.seed
        shared = {"verification_options": verification, "device": pycolmap.Device.cpu}
        count = len(names)
        total = count * (count - 1) // 2
        if how == "all":
            self.tell(f"Matched all {total} pairs of {count} photos.")
            with told_progress(self.database, "matches", "pairs are matched", total):
                pycolmap.match_exhaustive(self.database, options, **shared)
        elif how == "promising":
            listed = pycolmap.ImportedPairingOptions()
            listed.match_list_path = self._list_pairs()
            chosen = len(listed.match_list_path.read_bytes().splitlines())
            self.tell(
                f"Compared all {total} pairs of {count} photos by their {COARSEST} coarsest "
                f"features, and matched {chosen} in full: each photo's {BEST} most alike."
            )
            with told_progress(self.database, "matches", "pairs are matched", chosen):
                pycolmap.match_image_pairs(self.database, options, listed, **shared)
        else:
            pairing = pycolmap.SequentialPairingOptions()
            pairing.overlap = self.settings.sequential_overlap
            self.tell(f"Matched each of {count} photos with the {pairing.overlap} after it.")
            with told_progress(self.database, "matches", "pairs are matched", None):
                pycolmap.match_sequential(self.database, options, pairing, **shared)
        self.state.finish("matched")
        return how

    def _list_pairs(self) -> Path:
        """The file of promising pairs: an earlier run's, or a new one."""
        listed = self.database.with_name("pairs.txt")
        if listed.is_file() and self.state.get("pairs") == sha256(listed):
            return listed
        glance = self.database.with_name("glance.db")
        pairs = promising_pairs(self.pycolmap, self.database, glance, self.threads)
        lines = "".join(f"{first} {second}\n" for first, second in pairs)
        write_file(listed, lambda part: part.write_text(lines, encoding="utf-8"))
        self.state.finish("pairs", sha256(listed))
        return listed

    def _matching(self, names: Sequence[str]) -> str:
        if self.settings.matching == "exhaustive":
            return "all"
        many = len(names) > self.settings.exhaustive_up_to
        if self.settings.matching == "sequential" or many:
            return "sequential"
        return "promising" if len(names) > _ALL_PAIRS_UP_TO and can_list(names) else "all"

    def map(self, folder: Path, count: int) -> list[Any]:
        """Cameras and points from the matches.

        Returns:
            Reconstructions, the largest first (of equals, the one with more points).
        """
        output = self.database.with_name("models")
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        self.pycolmap.set_random_seed(self.settings.seed)
        make = self._incremental if self.settings.mapping == "incremental" else self._global
        models = make(folder, output, count).values()
        order = sorted(models, key=lambda m: (-m.num_reg_images(), -m.num_points3D()))
        return [model for model in order if model.num_reg_images() >= 2]

    def _incremental(self, folder: Path, output: Path, count: int) -> dict[int, Any]:
        options = self.pycolmap.IncrementalPipelineOptions()
        options.min_model_size = _SMALLEST_MODEL
        options.num_threads = self.threads
        options.random_seed = self.settings.seed
        options.mapper.random_seed = self.settings.seed
        options.triangulation.random_seed = self.settings.seed
        registered = 2  # the pair that a model begins with

        def next_image() -> None:
            nonlocal registered
            registered += 1
            if registered % 10 == 0:
                _LOG.info("%d registrations, %d photos", registered, count)

        found: dict[int, Any] = self.pycolmap.incremental_mapping(
            self.database, folder, output, options=options, next_image_callback=next_image
        )
        return found

    def _global(self, folder: Path, output: Path, count: int) -> dict[int, Any]:
        # Global mapping needs focal lengths, which photos without EXIF data lack: they are found
        # in a copy, so that the database stays as matching left it.
        database = self.database.with_name("global.db")
        remove_database(database)
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            connection.execute("VACUUM INTO ?", (str(database),))
        self.pycolmap.calibrate_view_graph(database)
        options = self.pycolmap.GlobalPipelineOptions()
        options.min_model_size = _SMALLEST_MODEL
        options.num_threads = self.threads
        options.random_seed = self.settings.seed
        options.mapper.random_seed = self.settings.seed
        options.mapper.global_positioning.use_gpu = False
        options.mapper.bundle_adjustment.ceres.use_gpu = False
        found: dict[int, Any] = self.pycolmap.global_mapping(
            database, folder, output, options=options
        )
        return found
