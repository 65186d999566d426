# DaC: divide-and-conquer training of radiance fields, from images to the paper's table.
#
#   snakemake --cores all                                  the demo in config/config.yaml
#   snakemake --cores all --configfile config/lego.yaml    another configuration on top of it
#   snakemake --profile slurm                              the same on a cluster
#   snakemake --cores all tables                           all tables of the configured studies
#   snakemake --cores all figures                          all figures
#   snakemake --report results/report.html                 tables and figures in one page
from snakemake.utils import min_version

min_version("9.27")


report: "rules/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/settings.smk"
include: "rules/scenes.smk"
include: "rules/divide.smk"
include: "rules/experts.smk"
include: "rules/conquer.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        tables_wanted(CONFIGURATION),
        figures_wanted(CONFIGURATION),


# All is in Snakemake's books now: finished results need no second name any more.
onsuccess:
    forget_finished(Path(RESULTS, "state"))


# Snakemake's own account of a failed job is long: say last what the jobs themselves said.
onerror:
    print(*errors_since(Path(RESULTS), STARTED), sep="\n", file=sys.stderr)
