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


rule baseline:
    input:
        settings=frozen("baseline"),
        scene=SCENE_FILES,
        init=of_runs(BASELINE, partial(inputs.continued, CONFIGURATION), RUN_FILES),
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
        run=on_all_views(BASELINE),
        state=state_of(BASELINE),
    message:
        "Training the baseline on {wildcards.scene} for {wildcards.steps} steps"
    script:
        "../workflow_scripts/baseline.py"


# All specialists wait for it.
use rule baseline as trunk with:
    input:
        settings=frozen("baseline"),
        scene=SCENE_FILES,
    output:
        files_in(TRUNK, RUN_FILES),
    log:
        log_of(TRUNK),
    benchmark:
        benchmark_of(TRUNK)
    priority: 2
    params:
        run=on_all_views(TRUNK),
        state=state_of(TRUNK),
    message:
        "Training the trunk on {wildcards.scene}, {wildcards.trunk} of {wildcards.horizon} steps"


use rule baseline as big_batch with:
    input:
        settings=frozen("baseline"),
        scene=SCENE_FILES,
    output:
        files_in(BIG_BATCH, RUN_FILES),
    log:
        log_of(BIG_BATCH),
    benchmark:
        benchmark_of(BIG_BATCH)
    params:
        run=on_all_views(BIG_BATCH),
        state=state_of(BIG_BATCH),
    message:
        "Training the baseline on {wildcards.scene} with {wildcards.K} times the rays a step"


use rule baseline as wide with:
    input:
        settings=frozen("baseline"),
        scene=SCENE_FILES,
    output:
        files_in(WIDE, RUN_FILES),
    log:
        log_of(WIDE),
    benchmark:
        benchmark_of(WIDE)
    params:
        run=on_all_views(WIDE),
        state=state_of(WIDE),
    message:
        "Training the baseline on {wildcards.scene} with {wildcards.K} times the parameters"


rule restart:
    input:
        settings=frozen("finetune"),
        scene=SCENE_FILES,
        student=of_runs(RESTART, inputs.builds_on, RUN_FILES),
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
