# An embedded suite: its corpus, its orders, and its models' training.
#
# Needs: the suite's description; real text comes from the installed packages' documentation, so no network.
# Makes: corpus/corpus.json (with rows, tokenizer and the planted truth), order/<order>/order.json (with index and shards),
#        checkpoints/<model>/step<step>/checkpoint.json (each with a Hugging Face model directory around it).
#        These manifests are written last and hold the hashes of what they stand for.


rule corpus:
    """Pack real text and planted truth into rows; every order of the suite shows these rows."""
    input:
        recipe=recipe("corpus"),
    output:
        f"{ROOT}/corpus/corpus.json",
    log:
        f"{ROOT}/logs/corpus.log",
    benchmark:
        f"{ROOT}/benchmarks/corpus.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(15),
    shell:
        "trajectories corpus --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"


rule order:
    """Write the corpus' rows in the sequence in which training meets them, in Megatron's format, as Pythia's are published."""
    input:
        recipe=recipe("order", "order"),
        corpus=f"{ROOT}/corpus/corpus.json",
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
        runtime=growing(10),
    shell:
        "trajectories order {wildcards.order:q} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"


# one rule per model, since each has checkpoints at steps of its own
for model in RUN.suite.models:

    rule:
        """Train one model and keep its checkpoints; a branch goes on from its parent's. One thread each: models side by side use a
        machine better than threads within one."""
        name:
            f"train_{model.name}"
        input:
            recipe=written_recipe("train", ("model", model.name)),
            corpus=f"{ROOT}/corpus/corpus.json",
            order=f"{ROOT}/order/{model.order}/order.json",
            parent=checkpoints(model.parent, [model.branch_step]) if model.parent else [],
        output:
            checkpoints(model.name, model.all_steps),
        log:
            f"{ROOT}/logs/train/{model.name}.log",
        benchmark:
            f"{ROOT}/benchmarks/train/{model.name}.tsv"
        priority: 20  # the longest jobs first
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(60),
        params:
            model=model.name,
        shell:
            "trajectories train {params.model:q} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"
