# From measurements to what they say: statistics, figures, report. Tidy tables and CPU only.
#
# Needs: the chosen models' audits; for each experiment all measurements with stimuli, exposures and counts, or the published tables.
# Makes: trajectories/, claims/, calibration/ and recovery/<experiment>.parquet; figures/<experiment>/*.svg and figures/<experiment>.json;
#        report.html and claims.json.


rule analyse:
    """Turn one experiment's measurements into trajectories and claims, and check its decisions on simulated data of known truth."""
    input:
        measured,
        audits=expand(f"{ROOT}/audit/{{model}}.parquet", model=MODELS),
        recipe=recipe("analyse", "experiment"),
    output:
        expand(f"{ROOT}/{{finding}}/{{{{experiment}}}}.parquet", finding=FINDINGS),
    log:
        f"{ROOT}/logs/analyse/{{experiment}}.log",
    benchmark:
        f"{ROOT}/benchmarks/analyse/{{experiment}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    shell:
        "trajectories analyse {wildcards.experiment:q} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"


rule figures:
    """Draw one experiment's figures: specifications for the report, and static files for print."""
    input:
        expand(f"{ROOT}/{{finding}}/{{{{experiment}}}}.parquet", finding=FINDINGS),
        recipe=recipe("figures", "experiment"),
    output:
        f"{ROOT}/figures/{{experiment}}.json",
        report(
            directory(f"{ROOT}/figures/{{experiment}}"),
            patterns=["{name}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "{name}"},
        ),
    log:
        f"{ROOT}/logs/figures/{{experiment}}.log",
    benchmark:
        f"{ROOT}/benchmarks/figures/{{experiment}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    shell:
        "trajectories figures {wildcards.experiment:q} --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"


rule report:
    """Write the one file to read, and all claims as JSON."""
    input:
        SHOWN,
        expand(f"{ROOT}/{{finding}}/{{experiment}}.parquet", finding=FINDINGS, experiment=EXPERIMENTS),
        expand(f"{ROOT}/figures/{{experiment}}.json", experiment=EXPERIMENTS),
        audit=f"{ROOT}/audit.parquet",
        recipe=recipe("report"),
    output:
        report(f"{ROOT}/report.html", caption="../report/report.rst", category="Report", labels={"file": "report"}),
        report(f"{ROOT}/claims.json", caption="../report/claims.rst", category="Claims", labels={"file": "claims"}),
    log:
        f"{ROOT}/logs/report.log",
    benchmark:
        f"{ROOT}/benchmarks/report.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    shell:
        "trajectories report --recipe {input.recipe:q} {MACHINE} --threads {threads} > {log:q} 2>&1"
