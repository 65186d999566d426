# Score a model of the whole scene, or the experts together, on the test views.
rule evaluate:
    input:
        settings=frozen("evaluate"),
        scene=SCENE_FILES,
        run=[f"{RUN}/model.safetensors", f"{RUN}/model.json"],
        earlier=runs_before,
        experts=experts_before,
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
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        label=run_label,
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
        experts=experts_of,
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
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        label=experts_label,
        state=state_of(f"{EXPERTS}/experts-evaluation"),
    message:
        "Scoring the {wildcards.K} experts of {wildcards.scene}, each on its own views"
    script:
        "../workflow_scripts/evaluate_experts.py"
