# The paper's table and figures, from the records alone.
rule tables:
    input:
        settings=frozen("tables"),
        records=MAIN_RECORDS,
    output:
        csv=f"{RESULTS}/tables/main.csv",
        md=f"{RESULTS}/tables/main.md",
        tex=f"{RESULTS}/tables/main.tex",
    log:
        log_of(f"{RESULTS}/tables/main"),
    conda:
        "../envs/report.yaml"
    message:
        "Writing the main table"
    script:
        "../workflow_scripts/tables.py"


rule figures:
    input:
        [with_values(f"{GROUPS}/partition.png", scene) for scene in SCENES.values()],
