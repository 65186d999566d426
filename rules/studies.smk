# The studies: which runs each table and figure looks at. What studies share is one run, since its path
# says what it is; a run is trained only if some configured study looks at it.
import re

from dac.storage.artifacts import free_space
from dac.workflow.plan import read_step_times, summary
from dac.workflow.preflight import disk_space

STUDIES = SETTINGS.studies


def baseline_runs(scene, *steps):
    """Baselines of so many steps, for every seed."""
    return [
        with_values(BASELINE, scene, seed=seed, steps=count)
        for seed in SETTINGS.seeds
        for count in steps
    ]


def baselines(scene):
    """What every study is measured against: the baseline at 1x and 2x steps."""
    return baseline_runs(scene, scene.train.steps, 2 * scene.train.steps)


def dac_runs(scene, pattern=FINETUNE, **varied):
    """DaC's runs for every seed and mode, with some values other than the configuration's."""
    return [
        with_values(pattern, scene, seed=seed, mode=mode, **varied)
        for seed in SETTINGS.seeds
        for mode in SETTINGS.modes
    ]


def restarted(scene):
    """Baselines of as many steps as DaC's one model, whose learning rate starts again halfway."""
    return [
        with_values(RESTART, scene, seed=seed, steps=scene.distill.steps) for seed in SETTINGS.seeds
    ]


def equal_compute(scene):
    """All steps that DaC's model builds on."""
    return scene.K * scene.train.steps + scene.distill.steps + scene.finetune.steps


def main_runs(scene):
    return baselines(scene) + dac_runs(scene)


def controls_runs(scene):
    return [
        *baselines(scene),
        *baseline_runs(scene, equal_compute(scene)),
        *restarted(scene),
        *(
            run
            for pattern in (DISTILL, FINETUNE)
            for run in (
                *dac_runs(scene, pattern, division="single", K=1),
                *dac_runs(scene, pattern, division="random"),
                *dac_runs(scene, pattern),
            )
        ),
    ]


def partitions_runs(scene):
    varied = (dac_runs(scene, K=K) for K in SETTINGS.study.partitions)
    return baselines(scene) + sum(varied, [])


def overlap_runs(scene):
    overlapping = {"division": "azimuth-overlap", "K": SETTINGS.study.overlap_groups}
    return main_runs(scene) + dac_runs(scene, **overlapping)


def schedule_runs(scene):
    varied = (
        dac_runs(scene, distill_steps=distill, finetune_steps=finetune)
        for distill, finetune in SETTINGS.study.schedule
    )
    return baselines(scene) + sum(varied, [])


def division_runs(scene):
    varied = (
        dac_runs(scene, division=division, K=1 if division == "single" else scene.K)
        for division in SETTINGS.study.divisions
    )
    return baselines(scene) + sum(varied, [])


def convergence_runs(scene):
    """Each point is a run of its own; DaC's begin where the distillation ends."""
    steps = SETTINGS.study.convergence
    after = [count - scene.distill.steps for count in steps]
    runs = baseline_runs(scene, *steps, equal_compute(scene))
    if 0 in after:
        runs += dac_runs(scene, DISTILL)
    varied = (dac_runs(scene, finetune_steps=count) for count in after if count > 0)
    return runs + sum(varied, [])


STUDY_RUNS = {
    "main": main_runs,
    "controls": controls_runs,
    "partitions": partitions_runs,
    "overlap": overlap_runs,
    "schedule": schedule_runs,
    "division": division_runs,
    "convergence": convergence_runs,
}


def records_of(study):
    """The evaluation records that a study looks at, scene by scene, each once."""
    records = []
    for scene in SCENES.values():
        records += [f"{run}/evaluation/evaluation.json" for run in STUDY_RUNS[study](scene)]
        if study == "controls":
            folders = [with_values(EXPERTS, scene, seed=seed) for seed in SETTINGS.seeds]
            records += [f"{folder}/experts-evaluation/evaluation.json" for folder in folders]
    return list(dict.fromkeys(records))


def records_of_study(wildcards):
    return records_of(wildcards.study)


def trainings(scene):
    """The folders of all runs that the configured studies train on a scene."""
    found = set()
    for study in STUDIES:
        for run in STUDY_RUNS[study](scene):
            found.add(run)
            found.update(run.split(phase)[0] for phase in ("-finetune-", "-restart-"))
            if Path(run).name.startswith("distill-"):
                seed, groups = run.rsplit("/", 3)[:2]
                division, K = groups.rsplit("-", 1)
                experts = expert_folders(scene, division, int(K))
                found.update(expert.replace(SEED, seed) for expert in experts)
    return sorted(found)


# --- Figures of one scene: they show the first seed; the tables, means over all ---------------------

FIGURE = f"{RESULTS}/figures/{{scene}}"


def shown(pattern):
    """An input function: the pattern with the values of the scene, and mode, of a figure."""

    def path(wildcards):
        scene = scene_of(wildcards)
        once = scene.train.steps
        fixed = {"seed": SETTINGS.seeds[0], "once": once, "twice": 2 * once}
        return with_values(pattern, scene, **fixed, **wildcards)

    return path


def shown_experts(wildcards):
    """The curves of a scene's experts."""
    scene = scene_of(wildcards)
    folders = expert_folders(scene, scene.division, scene.K)
    return [shown(f"{folder}/curve.json")(wildcards) for folder in folders]


def of_all_scenes(pattern):
    """An input function: as `shown`, for every scene in turn."""

    def paths(wildcards):
        return [
            with_values(
                pattern,
                scene,
                seed=SETTINGS.seeds[0],
                twice=2 * scene.train.steps,
                mode=wildcards.mode,
            )
            for scene in SCENES.values()
        ]

    return paths


def figures_of(scene):
    """Pictures that the report shows of one scene."""
    names = (f"{FIGURE}-experts.png", f"{FIGURE}-experts-points.png")
    figures = [with_values(f"{GROUPS}/partition.png", scene), *names]
    for kind in ("convergence", "losses", "points"):
        figures += [f"{FIGURE}-{kind}-{mode}.png" for mode in SETTINGS.modes]
    return [figure.format(scene=scene.name) for figure in figures]


# --- What is made ----------------------------------------------------------------------------------

# The study `convergence` is a figure, with its numbers beside the tables.
TABLES = [f"{RESULTS}/tables/{study}.csv" for study in STUDIES]
STUDY_FIGURES = [
    f"{RESULTS}/figures/{study}-study.png"
    for study in ("convergence", "overlap", "controls")
    if study in STUDIES
]
MAIN_FIGURES = [
    *(f"{RESULTS}/figures/qualitative-{mode}.png" for mode in SETTINGS.modes),
    *(figure for scene in SCENES.values() for figure in figures_of(scene)),
]
FIGURES = STUDY_FIGURES + (MAIN_FIGURES if "main" in STUDIES else [])


# --- The disk ------------------------------------------------------------------------------------


def space_of(scene):
    """Bytes of a scene's results, and of its jobs' states."""
    runs = trainings(scene)
    first = [run for run in runs if not re.search(r"(distill|restart)-\d+$|-finetune-", run)]
    evaluated = {run for study in STUDIES for run in STUDY_RUNS[study](scene)}
    counts = {"trained": len(runs), "at_once": len(first), "evaluated": len(evaluated)}
    return disk_space(scene, scene_data(scene), **counts)


def warn_of_a_small_disk():
    """One line if the results will probably not fit; a job that can't go on says so itself."""
    try:
        space = [space_of(scene) for scene in SCENES.values()]
    except UserError:
        return  # an image that can't be read: its import says so, if it is wanted at all
    needed = sum(results + states for results, states in space)
    free = free_space(Path(RESULTS))
    if needed <= free:
        return
    there = sum(file.stat().st_size for file in Path(RESULTS).rglob("*") if file.is_file())
    if needed > there + free:
        print(
            f"warning: {RESULTS}: will take about {needed / 1e9:.2g} GB, "
            f"{(there + free) / 1e9:.2g} GB are free",
            file=sys.stderr,
        )


if workflow.is_main_process:
    warn_of_a_small_disk()


# --- What a run says before its list of jobs ---------------------------------------------------------

STEP_TIMES = Path(workflow.basedir, "docs", "results", "step_times.json")


def planned_trainings():
    """All trainings of the configuration, finished ones too, and how long they take."""
    runs = [(run, scene) for scene in SCENES.values() for run in trainings(scene)]
    times = read_step_times(STEP_TIMES) if STEP_TIMES.exists() else []
    return summary(runs, times)


if workflow.is_main_process:
    print(f"Configured: {checked(planned_trainings)}", file=sys.stderr)
