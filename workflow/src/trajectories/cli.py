"""The command ``trajectories <verb>``: the rules call it, and it works without Snakemake."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import math
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trajectories import __version__, locks
from trajectories.errors import Damaged, UserError, disk_is_full, require_known
from trajectories.outside import OneLine, plain

if TYPE_CHECKING:
    from trajectories.config import Base
    from trajectories.layout import Layout

# verb: (targets, what it does)
VERBS: dict[str, tuple[tuple[str, ...], str]] = {
    "corpus": ((), "make the embedded suite's corpus: text, tokenizer, packed rows and planted truth"),
    "order": (("order",), "write an embedded suite's training order, or the reader's index of a remote one"),
    "train": (("model",), "train a model of an embedded suite and save its checkpoints"),
    "published": (("model",), "read a model's published results into a table"),
    "audit": (
        ("model",),
        "list a model's checkpoints (or results) and what is wrong; `all` joins the models' lists; owner/name is any repository of the Hub",
    ),
    "fetch": (("model", "step"), "fetch a checkpoint from the Hub"),
    "stimuli": (("experiment",), "make an experiment's stimuli and their exposures"),
    "count": (("order", "experiment"), "count an experiment's terms in a training order, up to each checkpoint"),
    "extract": (("model", "step", "experiment"), "measure a checkpoint on an experiment's stimuli"),
    "analyse": (("experiment",), "turn measurements into trajectories and claims"),
    "figures": (("experiment",), "draw an experiment's figures"),
    "report": ((), "write the report"),
    "plan": ((), "print what the configured run could tell, and the samples that its claims would take; makes nothing"),
    "batch": ((), "show the rows that a training step trained on, decoded; of an order on the Hub only these are read"),
}
CONFIG = Path("config.yaml")
DATA_DIR = "folder with local copies of the public data sets (default: the configuration's)"
FOR_PEOPLE = ("plan", "batch")
"""Verbs that only print: they have no recipe, since no result stands on them."""


@dataclass(frozen=True)
class Machine:
    """Choices of the machine that change no result: they stand in no recipe.

    Attributes:
        device: ``auto``, ``cpu`` or ``cuda``.
        gpus: GPUs that share a model, where it runs on GPUs.
        data_dir: local copies of the public data sets, or None.
        keep_checkpoints: keep fetched weights after extraction.
        weights_disk: bytes of disk that fetched weights may take, None for no bound; with one they are not kept.
        batch_tokens: tokens of one batch of extraction, padding included.
        threads: CPU threads of this job.
        experiments: all experiments of the run, so that one load of a checkpoint serves them all.
        steps: the steps of the run, None for all; a process that goes on to further checkpoints keeps to them.
        minutes: the time of this job, None for no bound; a process that goes on takes half of it at most.
    """

    device: str = "auto"
    gpus: int = 1
    data_dir: Path | None = None
    keep_checkpoints: bool = True
    weights_disk: int | None = None
    batch_tokens: int = 16384
    threads: int = 1
    experiments: tuple[str, ...] = ()
    steps: tuple[int, ...] | None = None
    minutes: float | None = None


def _batch_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("which batch, and how it is shown")
    group.add_argument("--suite", help="suite (default: the configuration's)")
    group.add_argument("--step", type=int, required=True, help="training step; the first one is 0")
    group.add_argument("--model", help="model, where the suite's models differ in their batches")
    group.add_argument("--order", help="training order, where the suite has several")
    group.add_argument("--rows", metavar="A:B", help="rows of the batch, counted from 0, such as 3 or 0:4 (default: all)")
    group.add_argument("--ids", action="store_true", help="print token ids instead of text")
    group.add_argument("--output", type=Path, metavar="FILE", help="write to a .npy file (ids) or a .jsonl file (ids and text) instead")
    parser.add_argument("--data-dir", type=Path, help=DATA_DIR)


def _given(args: argparse.Namespace, absent: dict[str, Any] | None = None) -> dict[str, Any]:
    """The configuration's file, or ``absent`` where there is none, with what ``--set`` overrides."""
    import yaml

    from trajectories import config

    given = config.read(args.config) if absent is None or args.config.is_file() else absent
    for pair in args.set:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"--set expects KEY=VALUE, found '{pair}'.")
        try:
            given[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {key}: '{value}' is no valid YAML: {config.yaml_problem(error)}.") from error
    return given


def _batch(args: argparse.Namespace) -> None:
    from trajectories import config, suites
    from trajectories.layout import Layout
    from trajectories.verbs import batch

    # of a configuration only the folders count, so that batches can be looked at anywhere
    chosen = config.validated(_given(args, {"experiments": []} if args.config == CONFIG else None))
    suite = suites.load_suite(args.suite or chosen.suite)
    data_dir = args.data_dir or (Path(chosen.data_dir) if chosen.data_dir else None)
    batch.run(suite, Layout(Path(chosen.results) / suite.name), data_dir, args)


def _integers(text: str) -> list[int]:
    """The numbers in ``0,1000,143000``; raises ValueError, which argparse tells as a wrong value."""
    return [int(number) for number in text.split(",")]


def _positive(text: str) -> int:
    """A whole number above 0; raises ValueError as :func:`_integers`."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _count(text: str) -> int:
    """A whole number of 0 or more; raises ValueError as :func:`_integers`."""
    if (number := int(text)) < 0:
        raise ValueError
    return number


# as argparse says what was expected
_integers.__name__, _positive.__name__, _count.__name__ = "list of steps", "whole number above 0", "number"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trajectories", description="What language models learn, when in training, and how that changes with scale."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for verb, (targets, text) in VERBS.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        for target in targets:
            sub.add_argument(target, type=int if target == "step" else str)
        if verb == "batch":
            _batch_options(sub)
        what = sub.add_mutually_exclusive_group()
        what.add_argument("--config", type=Path, default=CONFIG, help="configuration (default: config.yaml)")
        if verb not in FOR_PEOPLE:
            what.add_argument("--recipe", type=Path, help="recipe written by the workflow; stands in for the configuration")
        sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the configuration")
        if verb in FOR_PEOPLE:
            continue
        sub.add_argument("--device", choices=["auto", "cpu", "cuda"], help="where models run (default: the configuration's)")
        sub.add_argument("--gpus", type=_count, default=1, help="GPUs that share a model, 0 for none (default: 1)")
        sub.add_argument(
            "--minutes", type=float, help="time of this job; half of it at most goes to further checkpoints (default: no bound)"
        )
        sub.add_argument("--data-dir", type=Path, help=DATA_DIR)
        sub.add_argument("--discard-checkpoints", action="store_true", help="remove fetched weights once everything is extracted")
        sub.add_argument("--weights-disk-gb", type=float, help="most disk that fetched weights may take; they are removed after extraction")
        sub.add_argument("--batch-tokens", type=_positive, help="most tokens of a batch of extraction (default: the configuration's)")
        sub.add_argument("--threads", type=_positive, default=1, help="threads of this job (default: 1)")
        sub.add_argument("--experiments", help="comma-separated experiments that share a loaded checkpoint")
        sub.add_argument("--steps", type=_integers, help="comma-separated steps of the run")
        if verb == "audit":
            _repository_options(sub)
    return parser


def _machine(args: argparse.Namespace, configured: Base, experiments: Sequence[str]) -> Machine:
    """The command's options, and the configuration's choices where they say nothing.

    Args:
        args: the command's.
        configured: the configuration, or its defaults beside a recipe.
        experiments: those of the run that the configuration describes.

    Raises:
        UserError: the bound on the disk for weights is none.
    """
    bound = configured.weights_disk_gb if args.weights_disk_gb is None else args.weights_disk_gb
    if bound is not None and not 0 < bound < math.inf:
        raise UserError(f"The most disk for weights (--weights-disk-gb, 'weights_disk_gb') is a number of GB above 0, and not {bound:g}.")
    data_dir = args.data_dir or configured.data_dir
    steps = args.steps or configured.steps
    return Machine(
        device=args.device or configured.device,
        gpus=args.gpus,
        data_dir=Path(data_dir) if data_dir else None,
        keep_checkpoints=configured.keep_checkpoints and not args.discard_checkpoints and bound is None,
        weights_disk=None if bound is None else int(bound * 1e9),
        batch_tokens=args.batch_tokens or configured.batch_tokens,
        threads=args.threads,
        experiments=tuple(args.experiments.split(",") if args.experiments else experiments),
        steps=None if steps == "all" else tuple(steps),
        minutes=args.minutes,
    )


def _repository_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options for a repository of the Hub (owner/name); the exit code is 3 if a checkpoint is not sound")
    group.add_argument("--all", action="store_true", help="print the sound checkpoints too")
    group.add_argument("--hashes-only", action="store_true", help="compare hashes alone, without reading a few tensors of each checkpoint")
    group.add_argument("--output", type=Path, metavar="FILE", help="write the whole table to a .parquet or .csv file")


def _run(args: argparse.Namespace) -> int:
    """Run the verb; returns the exit code."""
    if args.verb == "audit":
        if "/" in args.model:
            from trajectories.verbs import audit

            return audit.of_repository(args.model, args.all, not args.hashes_only, args.output)
        if args.all or args.hashes_only or args.output:
            raise UserError(
                "--all, --hashes-only and --output go with a repository of the Hub (owner/name); a suite's audit is always whole."
            )
    from trajectories import config, experiments, recipes
    from trajectories.layout import Layout
    from trajectories.recipes import Settings

    if args.verb == "batch":
        _batch(args)
        return 0
    targets = {name: getattr(args, name) for name in VERBS[args.verb][0]}
    if getattr(args, "recipe", None) is None:
        resolved = config.resolve(_given(args))
        if args.verb in FOR_PEOPLE:
            importlib.import_module(f"trajectories.verbs.{args.verb}").run(resolved)
            return 0
        machine = _machine(args, resolved.config, resolved.experiments)
        names = {k: v for k, v in targets.items() if k in ("experiment", "model", "order") and v != "all"}
        known = {"model": [m.name for m in resolved.suite.models], "order": list(resolved.suite.orders), "experiment": experiments.known()}
        for kind, name in names.items():
            require_known(kind, name, known[kind])
        if "step" in targets:
            require_known(f"step of '{targets['model']}'", str(targets["step"]), map(str, resolved.suite.model(targets["model"]).all_steps))
        args.recipe = recipes.write(resolved, args.verb, **names)
    else:
        recipes.require_recipe(args.recipe)
        machine = _machine(args, config.Base(experiments=[]), [])
    layout = Layout(args.recipe.resolve().parent.parent)
    verb = importlib.import_module(f"trajectories.verbs.{args.verb}")
    try:
        with _alone(layout, args.verb, targets):
            recipes.supersede(args.recipe)
            verb.run(Settings.read(args.recipe), layout, machine, **targets)
    except Damaged as error:
        if not layout.forget(error.path):
            raise
        raise UserError(f"'{error.path}' was damaged ({error.found}) and is removed; run the workflow again to make it anew.") from error
    return 0


def _alone(layout: Layout, verb: str, targets: dict[str, Any]) -> contextlib.AbstractContextManager[object]:
    """A job that outlived its run must not write where the next run's job writes; fetching and extraction lock what they use themselves."""
    if verb in ("fetch", "extract"):
        return contextlib.nullcontext()
    return locks.lock(layout.recipe("").with_name(".".join(["", verb, *map(str, targets.values()), "lock"])))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code (1 with one sentence on standard error for a :class:`UserError`)."""
    args = _parser().parse_args(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # a line per request says little, and the addresses of stored files carry signatures that open them
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    # a job's threads are Snakemake's to give: numerical libraries must not take the whole machine
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(getattr(args, "threads", 1)))
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output, `head` for instance, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UserError as error:
        print(f"trajectories {args.verb}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"trajectories {args.verb}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if disk_is_full(error):
            print(f"trajectories {args.verb}: The disk is full; free some space, then run again. What is whole is kept.", file=sys.stderr)
        else:  # a fault of ours: shown whole, except what nobody may see
            print(plain(traceback.format_exc()), file=sys.stderr)
        return 1
