# Conquer: distil the experts into one model (Eq. 5 to 8), then fine-tune it on the images.
rule distill:
    input:
        settings=frozen("distill"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
        experts=of_runs(DISTILL, inputs.experts, MODEL_FILES),
    output:
        files_in(DISTILL, RUN_FILES),
    log:
        log_of(DISTILL),
    benchmark:
        benchmark_of(DISTILL)
    priority: 2
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        **asked(8000, 240),
    params:
        state=state_of(DISTILL),
    message:
        "Distilling {wildcards.K} experts of {wildcards.scene} ({wildcards.mode})"
    script:
        "../workflow_scripts/distill.py"


rule finetune:
    input:
        settings=frozen("finetune"),
        scene=SCENE_FILES,
        student=of_runs(FINETUNE, inputs.builds_on, RUN_FILES),
    output:
        files_in(FINETUNE, RUN_FILES),
    log:
        log_of(FINETUNE),
    benchmark:
        benchmark_of(FINETUNE)
    priority: 2
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        **asked(8000, 240),
    params:
        state=state_of(FINETUNE),
    message:
        "Fine-tuning the distilled model of {wildcards.scene} ({wildcards.mode})"
    script:
        "../workflow_scripts/finetune.py"
