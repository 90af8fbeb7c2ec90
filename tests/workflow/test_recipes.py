"""What a job's recipe holds, and which code it stands on."""

from pathlib import Path

import pytest
from trajectories import config, recipes, tables
from trajectories.code import modules
from trajectories.experiments import known


def resolved(tmp_path: Path, **keys: object) -> config.Resolved:
    return config.resolve({"suite": "nano", "experiments": ["grammar"], "results": str(tmp_path), **keys})


def digest(tmp_path: Path, verb: str, *, targets: dict[str, str] | None = None, **keys: object) -> str:
    return tables.digest(recipes.content(resolved(tmp_path, **keys), verb, **(targets or {})))


def test_cpu_verbs_do_not_stand_on_extraction_or_training():
    for verb in ["stimuli", "analyse", "figures", "report", "audit", "published"]:
        found = modules(f"trajectories.verbs.{verb}")
        assert not [m for m in found if m.startswith(("trajectories.extraction", "trajectories.nano.train", "trajectories.nano.model"))], (
            verb
        )


def test_extraction_stands_on_no_experiment():
    assert not [m for m in modules("trajectories.verbs.extract") if m.startswith("trajectories.experiments.")]


@pytest.mark.parametrize("experiment", known())
def test_the_parts_of_an_experiment_are_separate(experiment: str):
    base = f"trajectories.experiments.{experiment}"
    assert f"{base}.figures" not in modules(f"{base}.analyse")
    assert f"{base}.analyse" not in modules(f"{base}.stimuli")
    assert not [m for m in modules(f"{base}.stimuli") if m.startswith(("trajectories.statistics", "trajectories.figures."))]


def test_a_verb_sees_only_its_part_of_a_section(tmp_path: Path):
    changed = {"grammar": {"analyse": {"draws": 200}}}
    grammar = {"experiment": "grammar"}
    for verb, targets in {"stimuli": grammar, "figures": grammar, "extract": {"model": "nano-s"}, "train": {"model": "nano-s"}}.items():
        assert digest(tmp_path, verb, targets=targets) == digest(tmp_path, verb, targets=targets, **changed), verb
    assert digest(tmp_path, "analyse", targets=grammar) != digest(tmp_path, "analyse", targets=grammar, **changed)


def test_the_choice_of_steps_is_nothing_to_a_single_checkpoint(tmp_path: Path):
    assert digest(tmp_path, "extract", targets={"model": "nano-s"}) == digest(tmp_path, "extract", targets={"model": "nano-s"}, steps=[0])


def test_the_machine_is_in_no_recipe(tmp_path: Path):
    machine = {"device": "cpu", "batch_tokens": 77, "keep_checkpoints": False}
    for verb, targets in {"extract": {"model": "nano-s"}, "analyse": {"experiment": "grammar"}, "report": {}}.items():
        assert digest(tmp_path, verb, targets=targets) == digest(tmp_path, verb, targets=targets, **machine), verb
    options = recipes.machine_options(resolved(tmp_path, **machine))
    assert "--discard-checkpoints" in options
    assert options[options.index("--batch-tokens") + 1] == "77"


def test_every_verb_reads_back_the_recipe_that_is_written_for_it(tmp_path: Path):
    run = resolved(tmp_path)
    for verb, targets in {
        "corpus": {},
        "order": {"order": "standard"},
        "train": {"model": "nano-s-swapped"},
        "audit": {"model": "nano-s-swapped"},
        "extract": {"model": "nano-s-swapped"},
        "stimuli": {"experiment": "grammar"},
        "analyse": {"experiment": "grammar"},
        "figures": {"experiment": "grammar"},
        "report": {},
    }.items():
        settings = recipes.Settings.read(recipes.write(run, verb, **targets))
        if "model" in targets:
            assert settings.suite.model(targets["model"]).parent == "nano-s"


def test_a_recipe_is_written_once(tmp_path: Path):
    run = resolved(tmp_path)
    path = recipes.write(run, "report")
    before = path.stat().st_mtime_ns
    assert recipes.write(run, "report") == path
    assert path.stat().st_mtime_ns == before


def test_a_recipe_that_is_used_makes_the_same_targets_older_ones_forgotten(tmp_path: Path):
    names = [
        "extract.nano-s-0123456789abcdef",
        "extract.nano-s-fedcba9876543210",
        "extract.nano-s-seed2-0123456789abcdef",
        "analyse.x-0123456789abcdef",
    ]
    paths = [tmp_path / f"{name}.json" for name in names]
    for path in paths:
        path.write_text("{}")
    recipes.supersede(paths[0])
    assert [path.exists() for path in paths] == [True, False, True, True]
