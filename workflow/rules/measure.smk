# Show every checkpoint the stimuli, and measure: the one place where a model is loaded for measuring, and the only one that wants a GPU.
#
# Needs: corpus/corpus.json and order/<order>/order.json, whichever the suite has; checkpoints/<model>/step<step>/checkpoint.json.
# Makes: stimuli/, exposures/ and terms/<experiment>.parquet; counts/<order>/<experiment>.parquet for experiments with terms to be counted;
#        measurements/<model>/step<step>/<experiment>.parquet.
#        Which measures are taken is written in the stimuli's own metadata. A suite of published results uses none of this.


if RUN.suite.source != "published":

    rule stimuli:
        """Choose what every checkpoint is shown, and look up when each order showed it."""
        input:
            corpus_and_orders,
            recipe=recipe("stimuli", "experiment"),
        output:
            stimuli=f"{ROOT}/stimuli/{{experiment}}.parquet",
            exposures=f"{ROOT}/exposures/{{experiment}}.parquet",
            terms=f"{ROOT}/terms/{{experiment}}.parquet",
        log:
            f"{ROOT}/logs/stimuli/{{experiment}}.log",
        benchmark:
            f"{ROOT}/benchmarks/stimuli/{{experiment}}.tsv"
        priority: 30  # all stimuli are there before a checkpoint is first loaded, so that one load serves all experiments
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=growing(3000),
            runtime=growing(60),
            network=1,
        shell:
            "trajectories stimuli {wildcards.experiment:q} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"

    rule count:
        """Count an experiment's terms in one training order, and the documents in which two of them meet, up to every checkpoint. An order
        longer than `count_tokens` is sampled."""
        input:
            recipe=recipe("count", "order", "experiment"),
            order=f"{ROOT}/order/{{order}}/order.json",
            terms=f"{ROOT}/terms/{{experiment}}.parquet",
        output:
            f"{ROOT}/counts/{{order}}/{{experiment}}.parquet",
        log:
            f"{ROOT}/logs/count/{{order}}/{{experiment}}.log",
        benchmark:
            f"{ROOT}/benchmarks/count/{{order}}/{{experiment}}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=growing(240),
            network=1,
        shell:
            "trajectories count {wildcards.order:q} {wildcards.experiment:q}"
            " --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"

    rule extract:
        """Measure one checkpoint on one experiment's stimuli. The first job of a checkpoint loads its weights once and computes all
        experiments whose stimuli are ready; the others copy their part, without loading anything."""
        input:
            recipe=recipe("extract", "model"),
            checkpoint=f"{ROOT}/checkpoints/{{model}}/step{{step}}/checkpoint.json",
            stimuli=f"{ROOT}/stimuli/{{experiment}}.parquet",
        output:
            f"{ROOT}/measurements/{{model}}/step{{step}}/{{experiment}}.parquet",
        log:
            f"{ROOT}/logs/extract/{{model}}/step{{step}}/{{experiment}}.log",
        benchmark:
            f"{ROOT}/benchmarks/extract/{{model}}/step{{step}}/{{experiment}}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=by_size("mem_mb"),
            runtime=by_size("runtime"),
            gpu=gpus,
        shell:
            "trajectories extract {wildcards.model:q} {wildcards.step:q} {wildcards.experiment:q}"
            " --recipe {input.recipe:q} {MACHINE} --gpus {resources.gpu} --minutes {resources.runtime:q} --threads {threads}"
            " > {log:q} 2>&1"
