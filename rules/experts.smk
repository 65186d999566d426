# Training on images: K experts, each on its own group, and the baseline on all views.
# A baseline may be trained on after its learning rate has started again, as a control.
# Experts go first, since distillation and fine-tuning wait for them.
rule expert:
    input:
        settings=frozen("expert"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
    output:
        files_in(EXPERT, RUN_FILES),
    log:
        log_of(EXPERT),
    benchmark:
        benchmark_of(EXPERT)
    priority: 1
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        **asked(8000, 240),
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
        init=of_runs(BASELINE, inputs.continued, RUN_FILES),
    output:
        files_in(BASELINE, RUN_FILES),
    log:
        log_of(BASELINE),
    benchmark:
        benchmark_of(BASELINE)
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        **asked(8000, 240),
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
        baseline=of_runs(RESTART, inputs.builds_on, RUN_FILES),
    output:
        files_in(RESTART, RUN_FILES),
    log:
        log_of(RESTART),
    benchmark:
        benchmark_of(RESTART)
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        **asked(8000, 240),
    params:
        state=state_of(RESTART),
    message:
        "Training the baseline on {wildcards.scene} on, from a new learning rate"
    script:
        "../workflow_scripts/restart.py"
