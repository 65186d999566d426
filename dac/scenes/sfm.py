"""Structure from motion on a folder of photos, with pycolmap on the CPU.

Steps: SIFT features, matching (all pairs, the promising ones of all pairs, or neighbours in a
sequence), incremental or global mapping. The largest model is kept. The folder `work` is state that
a second run takes up: COLMAP's database and, in `state.json`, digests of what its features and
matches were made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dac.artifacts import explained_disk_errors, new_folder, read_json, write_json
from dac.errors import UserError
from dac.scenes.pycolmap_loader import duration, load_pycolmap, told_progress
from dac.scenes.sfm_pairs import BEST, COARSEST, can_list, promising_pairs
from dac.scenes.sfm_photos import Photo, check_sizes, chosen_photos, colmap_folder, read_photos
from dac.scenes.sfm_report import check_registered, make_report
from dac.settings import SfmSettings

_LOG = logging.getLogger("dac.sfm")
_MODEL_FILES = ("cameras.bin", "images.bin", "points3D.bin")
# Up to here, choosing pairs saves less than a minute.
_ALL_PAIRS_UP_TO = 50
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
) -> dict[str, Any]:
    """Find the cameras and a sparse cloud of points of a folder of photos.

    Args:
        photos: folder of photos; names in the model are paths below it.
        settings: what to do.
        out: gets cameras.bin, images.bin, points3D.bin and report.json, all or nothing.
        work: resumable state; may be deleted at any time between runs.
        threads: CPU threads.
        exclude: names of photos to leave out.

    Returns:
        What report.json holds: images, registered, unregistered, models, points,
        mean_reprojection_error (pixels), mean_track_length, seconds, cameras, pycolmap, log.

    Raises:
        UserError: fewer than two photos, a damaged one, sizes that don't fit the camera setting,
            too few registered, no room on the disk.
    """
    pycolmap = load_pycolmap()
    names = chosen_photos(photos, exclude)
    with explained_disk_errors(work):
        work.mkdir(parents=True, exist_ok=True)
        run = _Run(pycolmap, settings, work, threads)
        with run.timed("reading"):
            found = read_photos(photos, names)
            check_sizes(photos, found, settings.camera)
            folder = colmap_folder(photos, found, work)
        turned = sum(photo.orientation != 1 for photo in found)
        if turned:
            run.tell(f"Turned {turned} of {len(found)} photos upright (EXIF orientation).")
        run.prepare(found)
        with run.timed("features"):
            run.extract(folder, names)
        with run.timed("matches"):
            how = run.match(names)
        with run.timed("mapping"):
            models = run.map(folder, len(names))
    best = models[0] if models else None
    check_registered(photos, names, best, settings, how)
    report = make_report(names, models, run.seconds, run.log, pycolmap.__version__)
    _write(models[0], report, out)
    return report


def _write(model: Any, report: dict[str, Any], out: Path) -> None:
    with new_folder(out) as part:
        model.write_binary(part)
        for file in part.iterdir():  # rigs and frames say nothing that the images don't
            if file.name not in _MODEL_FILES:
                file.unlink()
        write_json(part / "report.json", report)


@dataclass
class _Run:
    """One run's state: where it is, what it took, what it said."""

    pycolmap: Any
    settings: SfmSettings
    work: Path
    threads: int
    seconds: dict[str, float] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.work / "database.db"

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[step] = time.monotonic() - start
        _LOG.info("%s: %s", step, duration(self.seconds[step]))

    def tell(self, sentence: str) -> None:
        _LOG.info(sentence)
        self.log.append(sentence)

    def prepare(self, photos: Sequence[Photo]) -> None:
        """Keep of the database what these photos and settings would make again."""
        keys = ("camera", "camera_model", "max_image_size", "max_features")
        features = _digest(
            self.pycolmap.__version__,
            {key: getattr(self.settings, key) for key in keys},
            [(photo.name, photo.digest, photo.orientation) for photo in photos],
        )
        keys = ("matching", "exhaustive_up_to", "sequential_overlap", "seed")
        matches = _digest(features, {key: getattr(self.settings, key) for key in keys})
        try:
            state = read_json(self.work / "state.json")
        except UserError:
            state = {}
        if state.get("features") != features or not self.database.is_file():
            for file in self.work.glob(f"{self.database.name}*"):
                file.unlink()
            state = {"features": features}
        elif state.get("matches") != matches:
            with self.pycolmap.Database.open(self.database) as database:
                database.clear_matches()
                database.clear_two_view_geometries()
            state = {"features": features, "extracted": state.get("extracted", False)}
        self.state = {**state, "matches": matches}
        self._save_state()

    def _save_state(self) -> None:
        write_json(self.work / "state.json", self.state)

    def _done(self, step: str) -> bool:
        if not self.state.get(step):
            return False
        self.tell(f"Features were {step} by an earlier run.")
        return True

    def extract(self, folder: Path, names: Sequence[str]) -> None:
        """SIFT features of every photo, and the cameras, into the database."""
        if self._done("extracted"):
            return
        pycolmap = self.pycolmap
        options = pycolmap.FeatureExtractionOptions()
        options.use_gpu = False
        options.num_threads = self.threads
        options.max_image_size = self.settings.max_image_size
        options.sift.max_num_features = self.settings.max_features
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = self.settings.camera_model
        mode = pycolmap.CameraMode
        with told_progress(self.database, "keypoints", "photos have features", len(names)):
            pycolmap.extract_features(
                self.database,
                folder,
                image_names=list(names),
                camera_mode=mode.SINGLE if self.settings.camera == "single" else mode.PER_FOLDER,
                reader_options=reader,
                extraction_options=options,
                device=pycolmap.Device.cpu,
            )
        self.state["extracted"] = True
        self._save_state()

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
            glance = self.work / "glance.db"
            pairs = promising_pairs(pycolmap, self.database, glance, self.threads)
            self.tell(
                f"Compared all {total} pairs of {count} photos by their {COARSEST} coarsest "
                f"features, and matched {len(pairs)} in full: each photo's {BEST} most alike."
            )
            listed = pycolmap.ImportedPairingOptions()
            listed.match_list_path = self.work / "pairs.txt"
            lines = "".join(f"{first} {second}\n" for first, second in pairs)
            listed.match_list_path.write_text(lines, encoding="utf-8")
            with told_progress(self.database, "matches", "pairs are matched", len(pairs)):
                pycolmap.match_image_pairs(self.database, options, listed, **shared)
        else:
            pairing = pycolmap.SequentialPairingOptions()
            pairing.overlap = self.settings.sequential_overlap
            self.tell(f"Matched each of {count} photos with the {pairing.overlap} after it.")
            with told_progress(self.database, "matches", "pairs are matched", None):
                pycolmap.match_sequential(self.database, options, pairing, **shared)
        self.state["matched"] = True
        self._save_state()
        return how

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
        output = self.work / "models"
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
        database = self.work / "global.db"
        database.unlink(missing_ok=True)
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


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
