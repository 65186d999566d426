# The paper's tables and figures, from the records and curves alone. Each is a row of
# dac/workflow/reports.py, and is made by the module that its stage names (dac/workflow/stages.py).
for study, table in TABLES.items():

    rule:
        name:
            f"{study}_table"
        input:
            settings=frozen(table.stage),
            caption=caption_of(table.stage),
            records=of_study(study),
        output:
            csv=f"{RESULTS}/tables/{study}.csv",
            md=f"{RESULTS}/tables/{study}.md",
            tex=f"{RESULTS}/tables/{study}.tex",
            html=report(
                f"{RESULTS}/tables/{study}.html",
                caption=f"captions/{table.stage}.rst",
                category="All scenes",
                labels={"shows": table.shows},
            ),
        log:
            log_of(f"{RESULTS}/tables/{study}"),
        benchmark:
            benchmark_of(f"{RESULTS}/tables/{study}")
        localrule: True
        conda:
            "../envs/report.yaml"
        resources:
            **asked(2000, 30),
        params:
            study=study,
        message:
            "Writing {output.csv}"
        script:
            "../workflow_scripts/table.py"


for name, figure in FIGURES.items():

    rule:
        name:
            name
        input:
            unpack(of_figure(figure)),
            settings=frozen(figure.stage),
            caption=caption_of(figure.caption),
        output:
            **{kind: f"{RESULTS}/{file}" for kind, file in figure.numbers.items()},
            png=report(
                f"{RESULTS}/figures/{figure.path}.png",
                caption=f"captions/{figure.caption}.rst",
                category="{scene}" if figure.of_one_scene else "All scenes",
                labels=figure.labels,
            ),
            pdf=f"{RESULTS}/figures/{figure.path}.pdf",
        log:
            log_of(f"{RESULTS}/figures/{figure.path}"),
        benchmark:
            benchmark_of(f"{RESULTS}/figures/{figure.path}")
        wildcard_constraints:
            mode="|".join(figure.modes),
        localrule: True
        conda:
            "../envs/report.yaml"
        resources:
            **asked(4000, 30),
        message:
            "Drawing {output.png}"
        script:
            "../workflow_scripts/figure.py"


rule tables:
    input:
        tables_wanted(CONFIGURATION),


rule figures:
    input:
        figures_wanted(CONFIGURATION),
