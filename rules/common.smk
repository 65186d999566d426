# What the other files share: the checked settings, the paths, and what each stage depends on.
import os
import sys
import time
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(workflow.basedir))  # this checkout's dac, whatever else is installed

from dac import settings as dac_settings
from dac.storage.artifacts import existing_folder
from dac.catalogue import RESERVED
from dac.errors import UserError
from dac.storage.files import files_under
from dac.storage.provenance import source_digest
from dac.scenes.photos.blend import chunks_of
from dac.storage.states import forget_finished

# --- The configuration: checked whole before anything runs -------------------------------------

DEFAULT_CONFIG = Path("config/config.yaml")


def checked(function, *arguments):
    """Call it; a user's mistake ends the run with one line."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def read_settings():
    """The configuration, checked; a fault ends the run with one line that names the key."""
    overlays = [os.path.relpath(file) for file in workflow.overwrite_configfiles]
    source = " + ".join([str(DEFAULT_CONFIG), *overlays])
    settings = dac_settings.parse(config, source)
    # A queued job has its settings frozen: a later edit of the configuration is not its concern.
    if workflow.is_main_process:
        check_results_folder(settings, source)
        for entry in settings.scenes:
            check_scene(dac_settings.resolve(settings, entry.name), source)
    return settings


def check_results_folder(settings, source):
    """Refuse a results folder that can't be written, and names that would clash in it."""
    where = f"{source}: results"
    if any(character in settings.results for character in "{}*?"):
        raise UserError(where, "holds one of { } * ?", "choose a plain name")
    existing = existing_folder(Path(settings.results))
    if not existing.is_dir():
        raise UserError(where, f"{existing} is no folder", "choose another folder")
    if not os.access(existing, os.W_OK):
        raise UserError(where, f"no permission to write in {existing}", "choose another folder")
    for entry in settings.scenes:
        if entry.name in RESERVED:
            raise UserError(f"{source}: scenes.{entry.name}", "a reserved name", "rename the scene")


def check_scene(scene, source):
    """Refuse a scene whose data, or a file that its settings name, isn't there."""
    named = {
        "path": scene.path,
        "settings.scene.masks": scene.scene.masks,
        "settings.scene.test_list": scene.scene.test_list,
        "settings.scene.exclude": scene.scene.exclude,
    }
    for key, path in named.items():
        if path is not None and not os.path.exists(path):
            where = f"{source}: scenes.{scene.name}.{key}"
            raise UserError(where, f"no such file or folder: {path}", "check the path")
    wanted = {"blend": "a .blend file", "video": "a video file"}.get(scene.format)
    if wanted and not os.path.isfile(scene.path):
        where = f"{source}: scenes.{scene.name}.path"
        raise UserError(where, f"{scene.path} is no file", f"name {wanted}")


# Read once by hand first: Snakemake doesn't say where broken YAML is broken.
checked(dac_settings.read_yaml, DEFAULT_CONFIG)


configfile: DEFAULT_CONFIG


SETTINGS = checked(read_settings)
SCENES = {entry.name: dac_settings.resolve(SETTINGS, entry.name) for entry in SETTINGS.scenes}


# --- Paths: they say what a result is -----------------------------------------------------------

RESULTS = SETTINGS.results
SCENE = f"{RESULTS}/{{scene}}"
GROUPS = f"{SCENE}/{{division}}-{{K}}"
MODEL = f"{SCENE}/{{model}}"
SEED = f"{MODEL}/seed{{seed}}"
BASELINE = f"{SEED}/baseline-{{steps}}"
BASELINE_1X = f"{SEED}/baseline-{{once}}"
BASELINE_2X = f"{SEED}/baseline-{{twice}}"
EXPERTS = f"{SEED}/{{division}}-{{K}}"
EXPERT = f"{EXPERTS}/expert{{group}}"
DISTILL = f"{EXPERTS}/{{mode}}/distill-{{distill_steps}}"
FINETUNE = f"{DISTILL}-finetune-{{finetune_steps}}"
RESTART = f"{BASELINE}-restart-{{finetune_steps}}"
RUN = f"{SEED}/{{run}}"  # any of the folders above that holds a model of the whole scene

RENDERED = f"{SCENE}/rendered/{{part}}-{{first}}-{{last}}"
VIEWS = f"{SCENE}/views"
FRAMES = f"{SCENE}/frames"

SCENE_FILES = [f"{SCENE}/scene/{name}" for name in ("scene.json", "images.npy", "masks.npy")]
VIEW_FILES = [f"{VIEWS}/transforms_train.json", f"{VIEWS}/transforms_test.json"]
VIEW_FOLDERS = [f"{VIEWS}/train", f"{VIEWS}/test"]
FRAME_FILES = [f"{FRAMES}/frames.json", f"{FRAMES}/photos"]
SFM_MODEL = [f"{SCENE}/sfm/{name}.bin" for name in ("cameras", "images", "points3D")]
RUN_FILES = ("model.safetensors", "model.json", "optimizer.safetensors", "curve.json")

DIVISION = "|".join(get_args(dac_settings.Division))
MODE = "|".join(get_args(dac_settings.Mode))
STUDY = "|".join(get_args(dac_settings.Study))


wildcard_constraints:
    scene=r"[A-Za-z0-9][A-Za-z0-9_]*",
    model=r"[a-z0-9][a-z0-9-]*",
    seed=r"-?\d+",
    division=DIVISION,
    K=r"[1-9]\d*",
    group=r"\d+",
    part="train|test",
    first=r"\d+",
    last=r"\d+",
    mode=MODE,
    steps=r"[1-9]\d*",
    distill_steps=r"[1-9]\d*",
    finetune_steps=r"[1-9]\d*",
    run=rf"baseline-\d+(-restart-\d+)?|({DIVISION})-\d+/({MODE})/distill-\d+(-finetune-\d+)?",
    stage=r"[a-z_]+",
    study=STUDY,


def beside(kind, pattern, suffix):
    """The log or benchmark of a job, in a tree of its own that mirrors the results."""
    return f"{RESULTS}/{kind}/{pattern.removeprefix(f'{RESULTS}/')}{suffix}"


def log_of(pattern):
    return beside("logs", pattern, ".log")


def benchmark_of(pattern):
    return beside("benchmarks", pattern, ".tsv")


def state_of(pattern):
    """Where a killed job's state waits for its next attempt; Snakemake doesn't own it."""
    return beside("state", pattern, "")


def run_files(pattern):
    return [f"{pattern}/{name}" for name in RUN_FILES]


def with_values(pattern, scene, /, **values):
    """The pattern with the values that the configuration gives this scene."""
    known = {
        "scene": scene.name,
        "model": scene.model.name,
        "division": scene.division,
        "K": scene.K,
        "distill_steps": scene.distill.steps,
        "finetune_steps": scene.finetune.steps,
    }
    return pattern.format(**known | values)


# --- Frozen settings: what each stage depends on besides its input files ------------------------


def values(section, *left_out):
    """A section's values, but for those that stand in the path of the result already."""
    return section.model_dump(mode="json", exclude=set(left_out))


# Stage -> the modules of dac that its script calls. Their import closures are hashed, so that an
# edit reruns the stages that can run the edited line, and no others.
STAGE_MODULES = {
    "blender": [],
    "render_views": ["dac.scenes.photos.blend", "dac.scenes.photos.render_in_blender"],
    "views": ["dac.scenes.photos.blend"],
    "frames": ["dac.scenes.photos.video"],
    "sfm": ["dac.scenes.sfm.reconstruct", "dac.scenes.views"],
    "import_scene": ["dac.scenes.importer"],
    "read_points": ["dac.scenes.formats.colmap_model", "dac.scenes.points"],
    "triangulate": ["dac.scenes.points"],
    "covisibility": ["dac.divide.covisibility", "dac.scenes.points"],
    "partition": ["dac.divide.divide"],
    "diagnose": ["dac.divide.diagnostics", "dac.report.figures.partition"],
    "baseline": ["dac.training.baseline"],
    "expert": ["dac.training.expert"],
    "distill": ["dac.conquer.distill"],
    "finetune": ["dac.training.finetune"],
    "evaluate": ["dac.evaluation.evaluate"],
    "main_table": ["dac.report.tables.main"],
    "ablation_table": ["dac.report.tables.ablation"],
    "controls_table": ["dac.report.tables.controls"],
    "budget_figure": ["dac.report.figures.convergence_study"],
    "overlap_figure": ["dac.report.figures.overlap"],
    "controls_figure": ["dac.report.figures.controls"],
    "convergence": ["dac.report.figures.convergence"],
    "losses": ["dac.report.figures.losses"],
    "experts_figure": ["dac.report.figures.experts"],
    "points_figure": ["dac.report.figures.points"],
    "qualitative": ["dac.report.figures.qualitative"],
}

# Stage -> its settings, from a scene's resolved ones and the wildcards.
STAGE_SETTINGS = {
    "blender": lambda s, w: {"executable": s.render.executable},
    "render_views": lambda s, w: {
        "render": values(s.render, "train_views", "test_views", "chunk", "executable")
    },
    "views": lambda s, w: {},
    "frames": lambda s, w: {"video": values(s.video)},
    "sfm": lambda s, w: {
        "path": data_set(s)["path"],
        "exclude": s.scene.exclude,
        "masks": s.scene.masks,
        "sfm": values(s.sfm),
    },
    "import_scene": lambda s, w: {
        **data_set(s),
        "scene": values(s.scene),
    },
    "read_points": lambda s, w: {},
    "triangulate": lambda s, w: {"points": values(s.points)},
    "covisibility": lambda s, w: {},
    "partition": lambda s, w: {"divide": values(s.divide)},
    "diagnose": lambda s, w: {},
    "baseline": lambda s, w: {
        "model": values(s.model),
        "train": values(s.train, "steps"),
    },
    "expert": lambda s, w: {"model": values(s.model), "train": values(s.train)},
    "distill": lambda s, w: {
        "model": values(s.model),
        "train": values(s.train, "steps"),
        "distill": values(s.distill, "steps", *({"paper", "corrected"} - {w.mode})),
    },
    "finetune": lambda s, w: {
        "train": values(s.train, "steps"),
        "distill": values(s.distill, "steps", "paper", "corrected"),
        "finetune": values(s.finetune, "steps"),
    },
    "evaluate": lambda s, w: {"evaluate": values(s.evaluate)},
}

# What looks at all scenes, or only at records, has one file for the whole configuration.
REPORT_SETTINGS = {
    "main_table": {"paper_values": SETTINGS.report.paper_values},
    "ablation_table": {"paper_values": SETTINGS.report.paper_values},
    "controls_table": {
        "divisions": {scene.name: [scene.division, scene.K] for scene in SCENES.values()}
    },
    "budget_figure": {},
    "overlap_figure": {},
    "controls_figure": {},
    "convergence": {},
    "losses": {},
    "experts_figure": {},
    "points_figure": {},
    "qualitative": {"report": values(SETTINGS.report, "paper_values")},
}


def frozen(stage):
    """The file that holds a stage's settings as they were when the stage was planned."""
    if stage in REPORT_SETTINGS:
        return f"{RESULTS}/settings/{stage}.json"
    if stage == "distill":
        return f"{MODEL}/settings/distill-{{mode}}.json"
    if stage in ("baseline", "expert", "finetune", "evaluate"):
        return f"{MODEL}/settings/{stage}.json"
    return f"{SCENE}/settings/{stage}.json"


def settings_to_freeze(stage):
    """A params function for the rule that freezes the stage's settings."""

    def settings(wildcards):
        if stage in REPORT_SETTINGS:
            return REPORT_SETTINGS[stage]
        scene = scene_of(wildcards)
        if getattr(wildcards, "model", scene.model.name) != scene.model.name:
            raise WorkflowError(
                f"{wildcards.scene} is configured with model '{scene.model.name}', "
                f"not '{wildcards.model}'"
            )
        return STAGE_SETTINGS[stage](scene, wildcards)

    return settings


# --- Resources -----------------------------------------------------------------------------------

# One thread a training lets as many run side by side as there are cores, which is faster than
# several threads each at the demo's size; `--set-threads expert=4` changes it.
TRAINING_THREADS = 1


# Seconds on one core each: on a cluster they run beside Snakemake, since a place in the queue would
# cost more than they do. Not as groups of jobs: if one of a group fails, Snakemake deletes what the
# others made, and each still starts a Snakemake of its own.
localrules:
    views,
    read_points,
    covisibility,
    partition,
    diagnose,
    main_table,
    ablation_table,
    controls_table,
    budget_figure,
    overlap_figure,
    controls_figure,
    convergence,
    losses,
    experts_figure,
    points_figure,
    points_experts,
    qualitative,


# --- Inputs --------------------------------------------------------------------------------------

DATA_SUFFIXES = {".png", ".jpg", ".jpeg", ".json", ".txt", ".bin"}


def scene_of(wildcards):
    """The resolved settings of the scene that a path names."""
    if wildcards.scene not in SCENES:
        raise WorkflowError(f"no scene '{wildcards.scene}' in the configuration")
    return SCENES[wildcards.scene]


def names_of(*formats):
    """A regular expression for the configured scenes of these formats."""
    names = [scene.name for scene in SCENES.values() if scene.format in formats]
    return "|".join(names) or "(?!)"


def scene_file(wildcards):
    """The file of a scene that comes as one: a .blend file, a video."""
    return scene_of(wildcards).path


def rendered(name):
    """An input function: a file or folder of every chunk of a scene's views, in order."""

    def paths(wildcards):
        return [
            f"{RENDERED}/{name}".format(
                scene=wildcards.scene, part=chunk.part, first=chunk.first, last=chunk.last
            )
            for chunk in chunks_of(scene_of(wildcards).render)
        ]

    return paths


def data_set(scene):
    """Where a scene's images lie, and in what format: a .blend file's and a video's are made."""
    if scene.format == "blend":
        return {"path": VIEWS.format(scene=scene.name), "format": "blender"}
    if scene.format == "video":
        return {"path": FRAME_FILES[-1].format(scene=scene.name), "format": "photos"}
    return {"path": scene.path, "format": scene.format}


def data_files(wildcards):
    """Images, poses and models of a scene, and the files that its settings name."""
    scene = scene_of(wildcards)
    if scene.format == "blend":
        return [*VIEW_FILES, *VIEW_FOLDERS, *named_files(scene)]
    if scene.format == "video":
        return [*FRAME_FILES, *named_files(scene)]
    return scene_data(scene)


def scene_data(scene):
    """Files that are there before anything runs: as `data_files`, but a .blend file or a video itself."""
    return sorted({*files_below([scene.path]), *named_files(scene)})


def named_files(scene):
    """The files that a scene's settings name."""
    return files_below([scene.scene.masks, scene.scene.test_list, scene.scene.exclude])


def files_below(paths):
    """Images, poses and models in folders, and files that are named themselves."""
    roots = [Path(path) for path in paths if path is not None]
    files = [file for root in roots for file in files_under(root)]
    chosen = {str(f) for f in files if f in roots or f.suffix.lower() in DATA_SUFFIXES}
    return sorted(chosen)


def sfm_model(wildcards):
    """The structure-from-motion model, for scenes that come as photos or a video alone."""
    return SFM_MODEL if scene_of(wildcards).format in ("photos", "video") else []


def sparse_model(wildcards):
    """The COLMAP model that holds a scene's points: found from photos, or brought along."""
    scene = scene_of(wildcards)
    if scene.format in ("photos", "video"):
        return SFM_MODEL
    for folder in (Path(scene.path, "sparse", "0"), Path(scene.path, "sparse"), Path(scene.path)):
        parts = [*folder.glob("cameras.*"), *folder.glob("images.*"), *folder.glob("points3D.*")]
        if parts:
            return sorted(str(part) for part in parts)
    return []


def covisibility_for_partition(wildcards):
    """The covisibility matrix, for the divisions that read it."""
    if wildcards.division in ("louvain", "spectral"):
        return f"{SCENE}/covisibility/covisibility.npz"
    return []


def first_half(wildcards):
    """The 1x baseline that the 2x baseline continues, where the schedule lets it."""
    scene = scene_of(wildcards)
    continues = scene.train.schedule == "constant"
    if continues and int(wildcards.steps) == 2 * scene.train.steps:
        return [path.replace("{steps}", str(scene.train.steps)) for path in run_files(BASELINE)]
    return []


def expert_folders(scene, division, K):
    """The run folders of all K experts; the expert of a single group is the 1x baseline."""
    if division == "single":
        return [f"{SEED}/baseline-{scene.train.steps}"]
    return [f"{SEED}/{division}-{K}/expert{group}" for group in range(K)]


def experts_of(wildcards):
    """The models of all K experts."""
    folders = expert_folders(scene_of(wildcards), wildcards.division, int(wildcards.K))
    return [f"{folder}/model.{suffix}" for folder in folders for suffix in ("safetensors", "json")]


def caption_of(name):
    """What the report says of a table or figure: changed, that rule alone runs again."""
    return os.path.relpath(Path(workflow.basedir, "rules", "captions", f"{name}.rst"))


# --- Runs, as records and tables call them --------------------------------------------------------


def evaluation_files(folder):
    arrays = [f"{folder}/{name}" for name in ("evaluation.json", "renders.npy", "depth.npy")]
    return [*arrays, directory(f"{folder}/renders"), directory(f"{folder}/depth")]


def run_label(wildcards):
    """How a run's record calls it; its path says the rest."""
    kind, *rest = wildcards.run.split("/")
    label = {"model": wildcards.model, "seed": int(wildcards.seed)}
    if not rest:
        steps, *again = map(int, kind.removeprefix("baseline-").split("-restart-"))
        if again:
            return label | {"method": "restart", "steps": again[0]}
        times = steps / scene_of(wildcards).train.steps
        return label | {"method": f"baseline-{times:g}x", "steps": steps}
    mode, phases = rest
    division, K = kind.rsplit("-", 1)
    label |= {"division": division, "K": int(K), "mode": mode}
    distilled, *finetuned = map(int, phases.removeprefix("distill-").split("-finetune-"))
    if finetuned:
        return label | {"method": "dac", "steps": finetuned[0], "distill_steps": distilled}
    return label | {"method": "distilled", "steps": distilled}


def experts_label(wildcards):
    return {
        "method": "experts",
        "model": wildcards.model,
        "seed": int(wildcards.seed),
        "steps": scene_of(wildcards).train.steps,
        "division": wildcards.division,
        "K": int(wildcards.K),
    }


def runs_before(wildcards):
    """The runs that this one builds on, one after the other: they count towards its cost."""
    for phase in ("-finetune-", "-restart-"):
        if phase in wildcards.run:
            return f"{SEED}/{wildcards.run.split(phase)[0]}/model.json"
    return []


def experts_before(wildcards):
    """The experts that this run builds on, side by side."""
    groups = wildcards.run.split("/")[0]
    if groups.startswith("baseline-"):
        return []
    division, K = groups.rsplit("-", 1)
    folders = expert_folders(scene_of(wildcards), division, int(K))
    return [f"{folder}/model.json" for folder in folders]


# --- Errors --------------------------------------------------------------------------------------

STARTED = time.time()


def errors_since_start():
    """What the jobs that failed in this run said last, with their logs."""
    logs = [log for log in Path(RESULTS, "logs").rglob("*.log") if log.stat().st_mtime > STARTED]
    for log in sorted(logs):
        last = log.read_text(errors="replace").splitlines()[-1:]
        if last and last[0].startswith("error: "):
            yield f"{last[0]} ({log})"
