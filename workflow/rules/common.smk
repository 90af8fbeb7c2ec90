# What every rules file stands on.
#
# Needs: config.yaml (with --config merged in).
# Makes: RUN, the checked configuration with its suite; ROOT, the folder of this suite's results; recipe(), the input by which a rule depends
#        on the code and the configuration of its verb; MACHINE, the options that change no result.

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "src"))

from snakemake.exceptions import WorkflowError
from trajectories import config as configuration
from trajectories import recipes
from trajectories.errors import UserError

try:
    RUN = configuration.resolve(dict(config))
except UserError as error:
    raise WorkflowError(str(error)) from None

ROOT = str(RUN.root)
ENVIRONMENT = "../../envs/trajectories.yaml"
MACHINE = shlex.join(
    ["--device", RUN.config.device, "--batch-tokens", str(RUN.config.batch_tokens), "--experiments", ",".join(RUN.experiments)]
    + (["--data-dir", RUN.config.data_dir] if RUN.config.data_dir else [])
    + ([] if RUN.config.keep_checkpoints else ["--discard-checkpoints"])
)


wildcard_constraints:
    model="|".join(re.escape(m.name) for m in RUN.suite.models),
    order="|".join(re.escape(o) for o in RUN.suite.orders) or "none",
    experiment="|".join(RUN.experiments),
    step=r"\d+",


def recipe(verb, *targets):
    """Input function: the recipe of a verb for the targets named by the job's wildcards."""

    def of(wildcards):
        return str(recipes.write(RUN, verb, **{name: getattr(wildcards, name) for name in targets}))

    return of
