# Which files a job stands on, where that depends on the suite.
#
# Needs: common.smk.
# Makes: checkpoints(), evidence(), corpus_and_orders(), measured(): input functions; SHOWN, all stimuli; FINDINGS, the tables of an analysis.

SOURCE_OF_SUITE = RUN.suite.source
FINDINGS = ["trajectories", "claims", "calibration", "recovery"]
SHOWN = [] if SOURCE_OF_SUITE == "published" else expand(f"{ROOT}/stimuli/{{experiment}}.parquet", experiment=EXPERIMENTS)


def checkpoints(model, steps):
    """The manifests of a model's checkpoints."""
    return [f"{ROOT}/checkpoints/{model}/step{step}/checkpoint.json" for step in steps]


def evidence(wildcards):
    """What the audit of a model looks at: all its checkpoints, chosen or not; its results; or nothing here, since it asks the Hub."""
    if SOURCE_OF_SUITE == "trained":
        return checkpoints(wildcards.model, RUN.suite.model(wildcards.model).all_steps)
    return [f"{ROOT}/published/{wildcards.model}.parquet"] if SOURCE_OF_SUITE == "published" else []


def corpus_and_orders(wildcards):
    """What an experiment chooses its stimuli from: the suite's whole corpus, and every order that can be read."""
    if SOURCE_OF_SUITE == "trained":
        return [f"{ROOT}/corpus/corpus.json", *expand(f"{ROOT}/order/{{order}}/order.json", order=RUN.suite.orders)]
    return [f"{ROOT}/order/{name}/order.json" for name, order in RUN.suite.orders.items() if order.repository]


def measured(wildcards):
    """All numbers that an experiment's analysis stands on."""
    if SOURCE_OF_SUITE == "published":
        return expand(f"{ROOT}/published/{{model}}.parquet", model=MODELS)
    experiment = f"{wildcards.experiment}.parquet"
    taken = [f"{ROOT}/measurements/{model}/step{step}/{experiment}" for model in MODELS for step in RUN.steps(model)]
    truth = [f"{ROOT}/corpus/corpus.json"] if SOURCE_OF_SUITE == "trained" else []
    counts = [f"{ROOT}/counts/{order}/{experiment}" for order in RUN.counted(wildcards.experiment)]
    return [*taken, f"{ROOT}/stimuli/{experiment}", f"{ROOT}/exposures/{experiment}", *counts, *truth]
