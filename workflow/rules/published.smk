# A suite of published results: lm-evaluation-harness files instead of checkpoints.
#
# Needs: the result files, from `data_dir` or downloaded from the repository that the suite names.
# Makes: published/<model>.parquet, one row per task and metric at each true step.


rule published:
    """Read a model's result files, whichever layout they have; what is absent is named, not an error."""
    input:
        recipe=recipe("published", "model"),
    output:
        f"{ROOT}/published/{{model}}.parquet",
    log:
        f"{ROOT}/logs/published/{{model}}.log",
    benchmark:
        f"{ROOT}/benchmarks/published/{{model}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(30),
        network=1,
    shell:
        "trajectories published {wildcards.model:q} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"
