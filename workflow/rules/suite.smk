# From a suite's YAML to the order of its training data, and to its published results.
#
# Needs: the suite's description; a trained suite's corpus comes from the installed packages' documentation, so no network.
# Makes: corpus/ (trained suites), order/<order>/order.json with index and shards, published/<model>.parquet (published suites).


rule corpus:
    """Pack real text and planted truth into rows; every order of an embedded suite shows these rows."""
    input:
        recipe("corpus"),
    output:
        f"{ROOT}/corpus/corpus.json",
    log:
        f"{ROOT}/logs/corpus.log",
    benchmark:
        f"{ROOT}/benchmarks/corpus.tsv"
    conda:
        ENVIRONMENT
    shell:
        "trajectories corpus --recipe {input[0]:q} {MACHINE} > {log:q} 2>&1"


rule order:
    """Write the rows in the sequence in which training meets them (Megatron MMIDIDX), or index a remote order."""
    input:
        recipe("order", "order"),
        corpus_of_suite,
    output:
        f"{ROOT}/order/{{order}}/order.json",
    log:
        f"{ROOT}/logs/order/{{order}}.log",
    benchmark:
        f"{ROOT}/benchmarks/order/{{order}}.tsv"
    conda:
        ENVIRONMENT
    shell:
        "trajectories order {wildcards.order:q} --recipe {input[0]:q} {MACHINE} > {log:q} 2>&1"
