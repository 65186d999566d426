# Training on images: K experts, each on its own group, and the baseline on all views.
# A baseline may be trained on after its learning rate has started again, as a control.
# Experts go first, since distillation and fine-tuning wait for them.
rule expert:
    input:
        settings=frozen("expert"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
    output:
        run_files(EXPERT),
    log:
        log_of(EXPERT),
    benchmark:
        benchmark_of(EXPERT)
    priority: 1
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        state=state_of(EXPERT),
    message:
        "Training expert {wildcards.group} of {wildcards.K} on {wildcards.scene}"
    script:
        "../workflow_scripts/expert.py"


rule baseline:
    input:
        settings=frozen("baseline"),
        scene=SCENE_FILES,
        init=first_half,
    output:
        run_files(BASELINE),
    log:
        log_of(BASELINE),
    benchmark:
        benchmark_of(BASELINE)
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        state=state_of(BASELINE),
    message:
        "Training the baseline on {wildcards.scene} for {wildcards.steps} steps"
    script:
        "../workflow_scripts/baseline.py"


rule restart:
    input:
        settings=frozen("finetune"),
        scene=SCENE_FILES,
        baseline=run_files(BASELINE),
    output:
        run_files(RESTART),
    log:
        log_of(RESTART),
    benchmark:
        benchmark_of(RESTART)
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        state=state_of(RESTART),
    message:
        "Training the baseline on {wildcards.scene} on, from a new learning rate"
    script:
        "../workflow_scripts/restart.py"
