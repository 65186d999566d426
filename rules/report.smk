# The paper's tables and figures, from the records and curves alone.
rule main_table:
    input:
        settings=frozen("main_table"),
        caption=caption_of("main_table"),
        records=records_of("main"),
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
        "../workflow_scripts/main_table.py"


rule ablation_table:
    input:
        settings=frozen("ablation_table"),
        caption=caption_of("ablation_table"),
        records=records_of_study,
    output:
        csv=f"{RESULTS}/tables/{{study}}.csv",
        md=f"{RESULTS}/tables/{{study}}.md",
        tex=f"{RESULTS}/tables/{{study}}.tex",
        html=report(
            f"{RESULTS}/tables/{{study}}.html",
            caption="captions/ablation_table.rst",
            category="All scenes",
            labels={"shows": "{study}"},
        ),
    log:
        log_of(f"{RESULTS}/tables/{{study}}"),
    benchmark:
        benchmark_of(f"{RESULTS}/tables/{{study}}")
    wildcard_constraints:
        study="partitions|overlap|schedule|division",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Writing the table of the study {wildcards.study}"
    script:
        "../workflow_scripts/ablation_table.py"


rule controls_table:
    input:
        settings=frozen("controls_table"),
        caption=caption_of("controls_table"),
        records=records_of("controls"),
    output:
        csv=f"{RESULTS}/tables/controls.csv",
        md=f"{RESULTS}/tables/controls.md",
        tex=f"{RESULTS}/tables/controls.tex",
        html=report(
            f"{RESULTS}/tables/controls.html",
            caption="captions/controls_table.rst",
            category="All scenes",
            labels={"shows": "controls"},
        ),
    log:
        log_of(f"{RESULTS}/tables/controls"),
    benchmark:
        benchmark_of(f"{RESULTS}/tables/controls")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Writing the table of the controls"
    script:
        "../workflow_scripts/controls_table.py"


rule budget_figure:
    input:
        settings=frozen("budget_figure"),
        caption=caption_of("budget"),
        records=records_of("convergence"),
    output:
        png=report(
            f"{RESULTS}/figures/convergence-study.png",
            caption="captions/budget.rst",
            category="All scenes",
            labels={
                "shows": "PSNR over steps",
            },
        ),
        pdf=f"{RESULTS}/figures/convergence-study.pdf",
        csv=f"{RESULTS}/tables/convergence.csv",
    log:
        log_of(f"{RESULTS}/figures/convergence-study"),
    benchmark:
        benchmark_of(f"{RESULTS}/figures/convergence-study")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing test PSNR over training steps"
    script:
        "../workflow_scripts/budget_figure.py"


rule overlap_figure:
    input:
        settings=frozen("overlap_figure"),
        caption=caption_of("overlap"),
        records=records_of("overlap"),
    output:
        png=report(
            f"{RESULTS}/figures/overlap-study.png",
            caption="captions/overlap.rst",
            category="All scenes",
            labels={
                "shows": "overlapping sectors",
            },
        ),
        pdf=f"{RESULTS}/figures/overlap-study.pdf",
    log:
        log_of(f"{RESULTS}/figures/overlap-study"),
    benchmark:
        benchmark_of(f"{RESULTS}/figures/overlap-study")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing what overlapping sectors bring"
    script:
        "../workflow_scripts/overlap_figure.py"


rule controls_figure:
    input:
        settings=frozen("controls_figure"),
        caption=caption_of("controls"),
        records=records_of("controls"),
    output:
        png=report(
            f"{RESULTS}/figures/controls-study.png",
            caption="captions/controls.rst",
            category="All scenes",
            labels={
                "shows": "controls",
            },
        ),
        pdf=f"{RESULTS}/figures/controls-study.pdf",
    log:
        log_of(f"{RESULTS}/figures/controls-study"),
    benchmark:
        benchmark_of(f"{RESULTS}/figures/controls-study")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing the controls"
    script:
        "../workflow_scripts/controls_figure.py"


rule convergence:
    input:
        settings=frozen("convergence"),
        caption=caption_of("convergence"),
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
        caption=caption_of("losses"),
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
        caption=caption_of("experts"),
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
        caption=caption_of("points"),
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


rule points_experts:
    input:
        settings=frozen("points_figure"),
        caption=caption_of("points_experts"),
        scene=SCENE_FILES,
        points=f"{SCENE}/points/points.npz",
        baseline=shown(f"{BASELINE_1X}/evaluation/evaluation.json"),
        ours=shown(f"{EXPERTS}/experts-evaluation/evaluation.json"),
    output:
        png=report(
            f"{FIGURE}-experts-points.png",
            caption="captions/points_experts.rst",
            category="{scene}",
            labels={
                "shows": "PSNR of experts on points",
                "mode": "any",
            },
        ),
        pdf=f"{FIGURE}-experts-points.pdf",
    log:
        log_of(f"{FIGURE}-experts-points"),
    benchmark:
        benchmark_of(f"{FIGURE}-experts-points")
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "Drawing the PSNR of the experts on the points of {wildcards.scene}"
    script:
        "../workflow_scripts/points_figure.py"


rule qualitative:
    input:
        settings=frozen("qualitative"),
        caption=caption_of("qualitative"),
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


rule tables:
    input:
        TABLES,


rule figures:
    input:
        FIGURES,
