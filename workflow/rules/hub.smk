# A suite on the Hugging Face Hub: readers of its training orders, and its checkpoints.
#
# Needs: network; the model's audit, which pins each revision to a commit.
# Makes: order/<order>/order.json (index and sizes of the remote shards; rows are read by range requests),
#        checkpoints/<model>/step<step>/checkpoint.json. The manifest lasts; the weights around it are a cache, which extraction removes
#        under `keep_checkpoints: false` and restores from the same commit when an experiment is added. For a checkpoint that the audit
#        found missing the manifest says so, and everything behind it leaves it out.


rule order:
    """Index a remote order, so that a sample of its rows costs megabytes."""
    input:
        recipe=recipe("order", "order"),
    output:
        f"{ROOT}/order/{{order}}/order.json",
    log:
        f"{ROOT}/logs/order/{{order}}.log",
    benchmark:
        f"{ROOT}/benchmarks/order/{{order}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=growing(60),
        network=1,
    shell:
        "trajectories order {wildcards.order:q} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"


rule fetch:
    """Fetch configuration, tokenizer and weights of one revision, checked against the Hub's hashes; a broken download is taken up again."""
    input:
        recipe=recipe("fetch", "model"),
        audit=f"{ROOT}/audit/{{model}}.parquet",
    output:
        f"{ROOT}/checkpoints/{{model}}/step{{step}}/checkpoint.json",
    log:
        f"{ROOT}/logs/fetch/{{model}}/step{{step}}.log",
    benchmark:
        f"{ROOT}/benchmarks/fetch/{{model}}/step{{step}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=by_size("runtime"),
        network=1,
    shell:
        "trajectories fetch {wildcards.model:q} {wildcards.step} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"
