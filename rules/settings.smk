# One local rule a stage writes its settings and a hash of its sources into a file that the stage's
# jobs take as input. So a job that waits in a queue keeps the settings that it was planned with, and
# only the stages that a change reaches run again.
for stage in (*STAGES, *REPORT_STAGES):

    rule:
        name:
            f"freeze_{stage}"
        output:
            frozen(stage),
        log:
            log_of(frozen(stage)),
        # A moment each, and every chain of jobs begins with one: all of them go first, so that the
        # longest chain (see `rule sfm`) finds the machine free.
        priority: 10
        localrule: True
        conda:
            "../envs/core.yaml"
        params:
            settings=settings_of(stage),
            modules=modules_of(stage),
            sources=sources_of(stage),
        message:
            f"Freezing the settings of {stage}"
        script:
            "../workflow_scripts/freeze_settings.py"
