# What every rules file stands on.
#
# Needs: config.yaml (with --config merged in).
# Makes: RUN, the checked configuration with its suite; ROOT, the folder of this suite's results; MODELS, EXPERIMENTS, the chosen ones;
#        recipe(), the input by which a rule depends on the code and the configuration of its verb; MACHINE, the options that change no result;
#        growing(), by_size(), gpus(): what jobs ask for.

import functools
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod, ExecMode

# this copy's code, whatever else is installed: for the rules here, and for the commands that they call
SOURCE = str(Path(workflow.current_basedir).parent / "src")
sys.path.insert(0, SOURCE)

from trajectories import config as configuration
from trajectories import locks, recipes, resources
from trajectories.errors import UserError
from trajectories.resources import growing

try:
    RUN = configuration.resolve(dict(config))
    recipes.prepare(RUN)
    recipes.write_all(RUN)
    ASKED = resources.asked(resources.read(Path(SOURCE).parent / "resources.yaml"), RUN)
except UserError as error:
    # the sentence alone: an exception would add Snakemake's lines of where in this file it was raised
    print(error, file=sys.stderr)
    sys.exit(1)

ROOT = str(RUN.root)
MODELS = [model.name for model in RUN.models]
EXPERIMENTS = RUN.experiments
ENVIRONMENT = "../../envs/trajectories.yaml"
MACHINE = shlex.join(recipes.machine_options(RUN))
PYTHONPATH = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))

# Snakemake's own environment serves the commands, activated or not; under --sdm conda the one that the rule names does
COMMANDS = "" if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method else f"{Path(sys.executable).parent}:"
shell.prefix(f'set -euo pipefail; export PYTHONPATH={shlex.quote(PYTHONPATH)} PATH={shlex.quote(COMMANDS)}"$PATH"; ')


onstart:
    # instead of Snakemake's own lock, which a killed run leaves behind (`nolock` in the profiles)
    try:
        locks.only_run(RUN.root)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


wildcard_constraints:
    model="|".join(re.escape(model.name) for model in RUN.suite.models),
    order="|".join(re.escape(order) for order in RUN.suite.orders) or "none",
    experiment="|".join(EXPERIMENTS),
    step=r"\d+",


@functools.cache
def written_recipe(verb, *targets):
    return str(recipes.write(RUN, verb, **dict(targets)))


def recipe(verb, *names):
    """Input function: the recipe of a verb for the targets that the job's wildcards name."""

    def of_job(wildcards):
        return written_recipe(verb, *((name, getattr(wildcards, name)) for name in names))

    return of_job


def by_size(resource):
    """Resource function: what workflow/resources.yaml says for the job's model, more of it at each attempt."""

    def of_job(wildcards, attempt):
        return attempt * getattr(ASKED[wildcards.model], resource)

    return of_job


def gpus(wildcards):
    """GPUs for a model; none where extraction runs on processors. On this machine `auto` looks whether there is a GPU; a cluster's jobs run
    elsewhere, so there the profile and `device` decide."""
    here = workflow.exec_mode == ExecMode.DEFAULT and workflow.local_exec
    if RUN.config.device == "cpu" or (RUN.config.device == "auto" and here and shutil.which("nvidia-smi") is None):
        return 0
    return ASKED[wildcards.model].gpu
