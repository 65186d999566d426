# Divide: which views see the same points, and the K groups that follow. Its jobs are short and go before
# all trainings: experts wait for them, and whoever looks on wants to see the groups first.
rule covisibility:
    input:
        settings=frozen("covisibility"),
        scene=SCENE_FILES,
        points=POINTS,
    output:
        COVISIBILITY,
    log:
        log_of(f"{SCENE}/covisibility"),
    benchmark:
        benchmark_of(f"{SCENE}/covisibility")
    priority: 3
    localrule: True
    conda:
        "../envs/core.yaml"
    resources:
        **asked(4000, 30),
    message:
        "Counting the points that views of {wildcards.scene} share"
    script:
        "../workflow_scripts/covisibility.py"


rule partition:
    input:
        settings=frozen("partition"),
        scene=SCENE_FILES,
        covisibility=covisibility_of,
    output:
        f"{GROUPS}/partition.json",
    log:
        log_of(f"{GROUPS}/partition"),
    benchmark:
        benchmark_of(f"{GROUPS}/partition")
    priority: 3
    localrule: True
    conda:
        "../envs/divide.yaml"
    resources:
        **asked(4000, 30),
    message:
        "Dividing the views of {wildcards.scene} into {wildcards.K} groups ({wildcards.division})"
    script:
        "../workflow_scripts/partition.py"


rule diagnose:
    input:
        settings=frozen("diagnose"),
        caption=caption_of("partition"),
        scene=SCENE_FILES,
        partition=f"{GROUPS}/partition.json",
        points=POINTS,
        covisibility=COVISIBILITY,
    output:
        json=f"{GROUPS}/diagnostics.json",
        png=report(
            f"{GROUPS}/partition.png",
            caption="captions/partition.rst",
            category="{scene}",
            labels={"shows": "partition", "mode": "any"},
        ),
        pdf=f"{GROUPS}/partition.pdf",
    log:
        log_of(f"{GROUPS}/diagnostics"),
    benchmark:
        benchmark_of(f"{GROUPS}/diagnostics")
    priority: 3
    localrule: True
    conda:
        "../envs/report.yaml"
    resources:
        **asked(4000, 30),
    message:
        "Measuring and drawing the {wildcards.K} groups of {wildcards.scene}"
    script:
        "../workflow_scripts/diagnose.py"
