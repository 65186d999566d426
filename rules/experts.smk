# Training on images: K experts, each on its own group, anew or from a shared trunk, and on all views the
# baseline, the trunk and the controls.
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


rule specialist:
    input:
        settings=frozen("specialist"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
        trunk=of_runs(SPECIALIST, inputs.builds_on, RUN_FILES),
    output:
        files_in(SPECIALIST, RUN_FILES),
    log:
        log_of(SPECIALIST),
    benchmark:
        benchmark_of(SPECIALIST)
    priority: 1
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        **asked(8000, 240),
    params:
        state=state_of(SPECIALIST),
    message:
        "Training specialist {wildcards.group} of {wildcards.K} on {wildcards.scene}"
    script:
        "../workflow_scripts/expert.py"


for kind, (folder, whom, how_long) in ON_ALL_VIEWS.items():

    rule:
        name:
            kind
        input:
            settings=frozen("baseline"),
            scene=SCENE_FILES,
            init=of_runs(folder, inputs.continued, RUN_FILES),
        output:
            files_in(folder, RUN_FILES),
        log:
            log_of(folder),
        benchmark:
            benchmark_of(folder)
        # All specialists wait for the trunk.
        priority: 2 if kind == "trunk" else 0
        conda:
            "../envs/core.yaml"
        threads: TRAINING_THREADS
        resources:
            **asked(8000, 240),
        params:
            run=training_of(folder),
            state=state_of(folder),
        message:
            f"Training {whom} on {{wildcards.scene}} for {how_long}"
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
