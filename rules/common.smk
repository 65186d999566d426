# What the other files share: the checked configuration, the paths, and what jobs ask for.
import os
import sys
import time
from functools import partial
from pathlib import Path

# This checkout's dac, whatever else is installed; an installed workflow lies inside its own.
sys.path.insert(0, str(workflow.basedir))

from dac.configuration import Configuration, NotConfiguredError
from dac.errors import UserError
from dac.runs import VALUES, Run, pattern, whole_names
from dac.storage.provenance import source_digest
from dac.storage.states import forget_finished
from dac.storage.yaml_files import read_yaml
from dac.workflow import inputs, layout, preflight
from dac.workflow.groups import choose_groups
from dac.workflow.frozen import frozen_file, modules_of, settings_to_freeze
from dac.workflow.logs import errors_since
from dac.workflow.plan import planned
from dac.workflow.reports import FIGURES, TABLES, figures_wanted, tables_wanted
from dac.workflow.stages import REPORT_STAGES, STAGES
from dac.workflow.studies import records

STARTED = time.time()

# --- The configuration: checked whole before anything runs -------------------------------------

DEFAULT_CONFIG = Path(os.path.relpath(Path(workflow.basedir, "config", "config.yaml")))


def checked(function, *arguments):
    """Call it; a user's mistake ends the run with one line."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


# Read once by hand first: Snakemake doesn't say where broken YAML is broken.
checked(read_yaml, DEFAULT_CONFIG)


configfile: DEFAULT_CONFIG


overlays = [os.path.relpath(file) for file in workflow.overwrite_configfiles]
config_files = " + ".join([str(DEFAULT_CONFIG), *overlays])
CONFIGURATION = checked(Configuration.checked, config, config_files, choose_groups)

# A queued job has its settings frozen: a later edit of the configuration is not its concern.
if workflow.is_main_process:
    checked(preflight.check, CONFIGURATION, config_files)
    if warning := preflight.small_disk(CONFIGURATION):
        print(f"warning: {warning}", file=sys.stderr)
    step_times = Path(workflow.basedir, "docs", "results", "step_times.json")
    print(f"Configured: {checked(planned, CONFIGURATION, step_times)}", file=sys.stderr)


# --- Paths: they say what a result is -----------------------------------------------------------

RESULTS = CONFIGURATION.settings.results


def below(*patterns):
    """Files in the results folder."""
    return [f"{RESULTS}/{one}" for one in patterns]


def files_in(folder, names):
    return [f"{folder}/{name}" for name in names]


def evaluation_files(folder):
    arrays = files_in(folder, ("evaluation.json", "renders.npy", "depth.npy"))
    return [*arrays, directory(f"{folder}/renders"), directory(f"{folder}/depth")]


def beside(kind, path, suffix=""):
    """The log, benchmark or state of a job, in a tree of its own that mirrors the results."""
    return f"{RESULTS}/{kind}/{path.removeprefix(f'{RESULTS}/')}{suffix}"


def log_of(path):
    return beside("logs", path, ".log")


def benchmark_of(path):
    return beside("benchmarks", path, ".tsv")


def state_of(path):
    """Where a killed job's state waits for its next attempt; Snakemake doesn't own it."""
    return beside("state", path)


def frozen(stage):
    """The file that holds a stage's settings as they were when the stage was planned."""
    return f"{RESULTS}/{frozen_file(stage)}"


SCENE = f"{RESULTS}/{{scene}}"
GROUPS = f"{RESULTS}/{layout.GROUPS}"
RENDERED, VIEWS, FRAMES = below(layout.RENDERED, layout.VIEWS, layout.FRAMES)
POINTS, COVISIBILITY = below(layout.POINTS, layout.COVISIBILITY)
SCENE_FILES, SFM_MODEL = below(*layout.SCENE_FILES), below(*layout.SFM_MODEL)

BASELINE, RESTART, TRUNK = below(*map(pattern, ("baseline", "restart", "trunk")))
BIG_BATCH, WIDE = below(pattern("big_batch"), pattern("wide"))
EXPERTS, EXPERT = below(pattern("experts"), pattern("expert"))
SPECIALIST, MEAN, ROUTED = below(*map(pattern, ("specialist", "mean", "routed")))
DISTILL, FINETUNE = below(pattern("distilled"), pattern("dac"))
MERGED_DISTILL = below(pattern("merged_distilled"))[0]
# Whether the mean was distilled into before it is fine-tuned or not.
MERGED = below(pattern("merged").replace("merged-", "merged-{distilled}"))[0]
RUN = f"{RESULTS}/{{scene}}/{{model}}/seed{{seed}}/{{run}}"  # any that is one model of the scene
MODEL_FILES = ("model.safetensors", "model.json")
RUN_FILES = (*MODEL_FILES, "optimizer.safetensors", "curve.json")


wildcard_constraints:
    **VALUES,
    run=whole_names(),
    distilled=r"(distill-\d+-)?",
    part="train|test",
    first=r"\d+",
    last=r"\d+",


# --- Input functions ----------------------------------------------------------------------------


def configured(function, *arguments, **named):
    """Call it; a path may name what the configuration doesn't have."""
    try:
        return function(*arguments, **named)
    except NotConfiguredError as error:
        raise WorkflowError(str(error))


def scene_of(wildcards):
    """The settings of the scene that a path names."""
    return configured(CONFIGURATION.scene, wildcards.scene)


def of_scene(find, *arguments):
    """Files that belong to the scene in a path."""
    return lambda wildcards: find(CONFIGURATION, scene_of(wildcards), *arguments)


def covisibility_of(wildcards):
    """The covisibility matrix, for the divisions that read it."""
    return inputs.covisibility_for(CONFIGURATION, scene_of(wildcards), wildcards.division)


def run_at(folder, wildcards):
    """The run that a path names."""
    return Run.parse(folder.format(**wildcards).removeprefix(f"{RESULTS}/"))


def of_runs(folder, find, names):
    """Files of the runs that the run in a path is made of."""

    def files(wildcards):
        runs = find(run_at(folder, wildcards), scene_of(wildcards))
        return [file for run in runs for file in files_in(f"{RESULTS}/{run.path}", names)]

    return files


def of_study(study):
    """The records that a study looks at."""
    return lambda wildcards: records(study, CONFIGURATION)


def of_figure(figure):
    """The named inputs of a figure, by the scene and mode in its path."""

    def named(wildcards):
        scene, mode = wildcards.get("scene", ""), wildcards.get("mode", "")
        return configured(figure.inputs, CONFIGURATION, scene, mode)

    return named


def names_of(*formats):
    """A regular expression for the configured scenes of these formats."""
    scenes = CONFIGURATION.scenes.values()
    return "|".join(scene.name for scene in scenes if scene.format in formats) or "(?!)"


def caption_of(name):
    """What the report says of a table or figure: changed, that rule alone runs again."""
    return os.path.relpath(Path(workflow.basedir, "rules", "captions", f"{name}.rst"))


# --- Params -------------------------------------------------------------------------------------


def label_of(folder):
    """How a run's record calls it; its path says the rest."""
    return lambda wildcards: run_at(folder, wildcards).label(scene_of(wildcards).train.steps)


def on_all_views(folder):
    """What a path says of a training on all views."""
    return lambda wildcards: inputs.on_all_views(run_at(folder, wildcards))


def settings_of(stage):
    """What is frozen of a stage, as its file's path says it."""
    return lambda wildcards: configured(settings_to_freeze, stage, CONFIGURATION, **wildcards)


def sources_of(stage):
    """The digest of a stage's sources, which only the job that freezes it reads."""
    return lambda wildcards: source_digest(*modules_of(stage))


# --- Resources ----------------------------------------------------------------------------------

# One thread a training lets as many run side by side as there are cores, which is faster than
# several threads each at the demo's size; `--set-threads expert=4` changes it.
TRAINING_THREADS = 1


def asked(megabytes, minutes):
    """Memory and time; an attempt after one that failed gets more of both."""
    return {
        "mem_mb": lambda wildcards, attempt: megabytes * attempt,
        "runtime": lambda wildcards, attempt: minutes * attempt,
    }
