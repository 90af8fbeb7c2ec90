# Pythia Trajectories: what do language models learn, when in training, and how does that change with scale?
#
#   suite ──► audit ──► checkpoint ──┐
#     └─────► order ──► stimuli ─────┴─► extract ──► analyse ──► figures ──► report
#     └─────► published results ────────────────────►┘

from snakemake.utils import min_version

min_version("9.14")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
# the suite says where its numbers come from: trained here, fetched from the Hub, or published
include: f"workflow/rules/{RUN.suite.source}.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/analyse.smk"


rule all:
    """Everything that a reader of the results wants."""
    default_target: True
    input:
        f"{ROOT}/report.html",
        f"{ROOT}/claims.json",
        f"{ROOT}/audit.parquet",
