# Conquer: one model of the experts. The paper's are distilled (Eq. 5 to 8) and fine-tuned on the images.
# Specialists are merged: their mean is fine-tuned, at once or after distillation; or they stay, routed.
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


rule merge:
    input:
        settings=frozen("merge"),
        experts=of_runs(MEAN, inputs.experts, MODEL_FILES),
    output:
        files_in(MEAN, MODEL_FILES),
    log:
        log_of(MEAN),
    benchmark:
        benchmark_of(MEAN)
    priority: 2
    localrule: True
    conda:
        "../envs/core.yaml"
    resources:
        **asked(8000, 30),
    message:
        "Merging {wildcards.K} specialists of {wildcards.scene}: their mean"
    script:
        "../workflow_scripts/merge.py"


use rule distill as distill_merged with:
    input:
        settings=frozen("distill").replace("{mode}", "corrected"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
        experts=of_runs(MERGED_DISTILL, inputs.experts, MODEL_FILES),
        init=of_runs(MERGED_DISTILL, inputs.goes_on_from, MODEL_FILES),
    output:
        files_in(MERGED_DISTILL, RUN_FILES),
    log:
        log_of(MERGED_DISTILL),
    benchmark:
        benchmark_of(MERGED_DISTILL)
    params:
        state=state_of(MERGED_DISTILL),
    message:
        "Distilling {wildcards.K} specialists of {wildcards.scene} into their mean"


use rule restart as finetune_merged with:
    input:
        settings=frozen("finetune"),
        scene=SCENE_FILES,
        student=of_runs(MERGED, inputs.goes_on_from, MODEL_FILES),
    output:
        files_in(MERGED, RUN_FILES),
    log:
        log_of(MERGED),
    benchmark:
        benchmark_of(MERGED)
    priority: 2
    params:
        state=state_of(MERGED),
    message:
        "Fine-tuning the merged model of {wildcards.scene}"


rule route:
    input:
        settings=frozen("route"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
        experts=of_runs(ROUTED, inputs.experts, MODEL_FILES),
        generalist=of_runs(ROUTED, inputs.generalist, MODEL_FILES),
    output:
        files_in(ROUTED, MODEL_FILES),
    log:
        log_of(ROUTED),
    benchmark:
        benchmark_of(ROUTED)
    priority: 2
    localrule: True
    conda:
        "../envs/core.yaml"
    resources:
        **asked(8000, 30),
    message:
        "Routing {wildcards.K} specialists of {wildcards.scene} as one model"
    script:
        "../workflow_scripts/route.py"
