# What each suite's checkpoints or results are worth.
#
# Needs: checkpoints trained here, published tables, or nothing but the Hub, by the suite's source.
# Makes: audit/<model>.parquet, one row per step with its status (ok, duplicate, missing, discontinuous); audit.parquet, all chosen models'.


rule audit:
    """List a model's checkpoints with the hashes of their weights, and say which are missing or not what they claim to be."""
    input:
        evidence,
        recipe=recipe("audit", "model"),
    output:
        f"{ROOT}/audit/{{model}}.parquet",
    log:
        f"{ROOT}/logs/audit/{{model}}.log",
    benchmark:
        f"{ROOT}/benchmarks/audit/{{model}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(60),
        network=1,
    shell:
        "trajectories audit {wildcards.model:q} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"


localrules:
    audit_all,


rule audit_all:
    """Join the chosen models' audits into one table, where Snakemake runs: it takes a second."""
    input:
        audits=expand(f"{ROOT}/audit/{{model}}.parquet", model=MODELS),
        recipe=recipe("audit"),
    output:
        f"{ROOT}/audit.parquet",
    log:
        f"{ROOT}/logs/audit/all.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    shell:
        "trajectories audit all --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"
