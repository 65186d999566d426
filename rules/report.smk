# The paper's table and figures, from the records and curves alone.
rule tables:
    input:
        settings=frozen("tables"),
        records=MAIN_RECORDS,
    output:
        csv=f"{RESULTS}/tables/main.csv",
        md=f"{RESULTS}/tables/main.md",
        tex=f"{RESULTS}/tables/main.tex",
        html=report(
            f"{RESULTS}/tables/main.html",
            caption="captions/main_table.rst",
            category="All scenes",
            labels={"shows": "main table"},
        ),
    log:
        log_of(f"{RESULTS}/tables/main"),
    benchmark:
        benchmark_of(f"{RESULTS}/tables/main")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Writing the main table"
    script:
        "../workflow_scripts/tables.py"


rule convergence:
    input:
        settings=frozen("convergence"),
        baseline_1x=shown(f"{BASELINE_1X}/curve.json"),
        baseline_2x=shown(f"{BASELINE_2X}/curve.json"),
        experts=shown_experts,
        distill=shown(f"{DISTILL}/curve.json"),
        finetune=shown(f"{FINETUNE}/curve.json"),
    output:
        png=report(
            f"{FIGURE}-convergence-{{mode}}.png",
            caption="captions/convergence.rst",
            category="{scene}",
            labels={
                "shows": "convergence",
                "mode": "{mode}",
            },
        ),
        pdf=f"{FIGURE}-convergence-{{mode}}.pdf",
    log:
        log_of(f"{FIGURE}-convergence-{{mode}}"),
    benchmark:
        benchmark_of(f"{FIGURE}-convergence-{{mode}}")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing the convergence on {wildcards.scene}"
    script:
        "../workflow_scripts/convergence.py"


rule losses:
    input:
        settings=frozen("losses"),
        baseline_1x=shown(f"{BASELINE_1X}/curve.json"),
        baseline_2x=shown(f"{BASELINE_2X}/curve.json"),
        experts=shown_experts,
        distill=shown(f"{DISTILL}/curve.json"),
        finetune=shown(f"{FINETUNE}/curve.json"),
    output:
        png=report(
            f"{FIGURE}-losses-{{mode}}.png",
            caption="captions/losses.rst",
            category="{scene}",
            labels={
                "shows": "losses",
                "mode": "{mode}",
            },
        ),
        pdf=f"{FIGURE}-losses-{{mode}}.pdf",
    log:
        log_of(f"{FIGURE}-losses-{{mode}}"),
    benchmark:
        benchmark_of(f"{FIGURE}-losses-{{mode}}")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing the losses on {wildcards.scene}"
    script:
        "../workflow_scripts/losses.py"


rule experts_figure:
    input:
        settings=frozen("experts_figure"),
        experts=shown(f"{EXPERTS}/experts-evaluation/evaluation.json"),
        baseline=shown(f"{BASELINE_1X}/evaluation/evaluation.json"),
    output:
        png=report(
            f"{FIGURE}-experts.png",
            caption="captions/experts.rst",
            category="{scene}",
            labels={
                "shows": "experts",
                "mode": "any",
            },
        ),
        pdf=f"{FIGURE}-experts.pdf",
    log:
        log_of(f"{FIGURE}-experts"),
    benchmark:
        benchmark_of(f"{FIGURE}-experts")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing the experts against the baseline on {wildcards.scene}"
    script:
        "../workflow_scripts/experts_figure.py"


rule points_figure:
    input:
        settings=frozen("points_figure"),
        scene=SCENE_FILES,
        points=f"{SCENE}/points/points.npz",
        baseline=shown(f"{BASELINE_2X}/evaluation/evaluation.json"),
        ours=shown(f"{FINETUNE}/evaluation/evaluation.json"),
    output:
        png=report(
            f"{FIGURE}-points-{{mode}}.png",
            caption="captions/points.rst",
            category="{scene}",
            labels={
                "shows": "PSNR on points",
                "mode": "{mode}",
            },
        ),
        pdf=f"{FIGURE}-points-{{mode}}.pdf",
    log:
        log_of(f"{FIGURE}-points-{{mode}}"),
    benchmark:
        benchmark_of(f"{FIGURE}-points-{{mode}}")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing PSNR on the points of {wildcards.scene}"
    script:
        "../workflow_scripts/points_figure.py"


rule qualitative:
    input:
        settings=frozen("qualitative"),
        scenes=of_all_scenes(f"{SCENE}/scene/scene.json"),
        baselines=of_all_scenes(f"{BASELINE_2X}/evaluation/evaluation.json"),
        ours=of_all_scenes(f"{FINETUNE}/evaluation/evaluation.json"),
    output:
        png=report(
            f"{RESULTS}/figures/qualitative-{{mode}}.png",
            caption="captions/qualitative.rst",
            category="All scenes",
            labels={
                "shows": "renders",
                "mode": "{mode}",
            },
        ),
        pdf=f"{RESULTS}/figures/qualitative-{{mode}}.pdf",
    log:
        log_of(f"{RESULTS}/figures/qualitative-{{mode}}"),
    benchmark:
        benchmark_of(f"{RESULTS}/figures/qualitative-{{mode}}")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing renders beside the truth"
    script:
        "../workflow_scripts/qualitative.py"


rule figures:
    input:
        FIGURES,
