# Score a model of the whole scene, or the experts together, on the test views.
rule evaluate:
    input:
        settings=frozen("evaluate"),
        scene=SCENE_FILES,
        run=files_in(RUN, MODEL_FILES),
        earlier=of_runs(RUN, inputs.builds_on, ["model.json"]),
        experts=of_runs(RUN, inputs.experts, ["model.json"]),
        generalist=of_runs(RUN, inputs.generalist, ["model.json"]),
    output:
        evaluation_files(f"{RUN}/evaluation"),
    log:
        log_of(f"{RUN}/evaluation"),
    benchmark:
        benchmark_of(f"{RUN}/evaluation")
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        **asked(8000, 120),
    params:
        label=label_of(RUN),
        state=state_of(f"{RUN}/evaluation"),
    message:
        "Scoring {wildcards.run} on the test views of {wildcards.scene}"
    script:
        "../workflow_scripts/evaluate.py"


rule evaluate_experts:
    input:
        settings=frozen("evaluate"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
        experts=of_runs(EXPERTS, inputs.experts, MODEL_FILES),
    output:
        evaluation_files(f"{EXPERTS}/experts-evaluation"),
    log:
        log_of(f"{EXPERTS}/experts-evaluation"),
    benchmark:
        benchmark_of(f"{EXPERTS}/experts-evaluation")
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        **asked(8000, 120),
    params:
        label=label_of(EXPERTS),
        state=state_of(f"{EXPERTS}/experts-evaluation"),
    message:
        "Scoring the {wildcards.K} experts of {wildcards.scene}, each on its own views"
    script:
        "../workflow_scripts/evaluate_experts.py"
