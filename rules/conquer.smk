# Conquer: distil the experts into one model (Eq. 5 to 8), then fine-tune it on the images.
rule distill:
    input:
        settings=frozen("distill"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
        experts=experts_of,
    output:
        run_files(DISTILL),
    log:
        log_of(DISTILL),
    benchmark:
        benchmark_of(DISTILL)
    priority: 2
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
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
        student=run_files(DISTILL),
    output:
        run_files(FINETUNE),
    log:
        log_of(FINETUNE),
    benchmark:
        benchmark_of(FINETUNE)
    priority: 2
    conda:
        "../envs/core.yaml"
    threads: TRAINING_THREADS
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        state=state_of(FINETUNE),
    message:
        "Fine-tuning the distilled model of {wildcards.scene} ({wildcards.mode})"
    script:
        "../workflow_scripts/finetune.py"
