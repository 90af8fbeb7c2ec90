"""What grammar draws."""

from __future__ import annotations

from trajectories import tables
from trajectories.cli import Machine
from trajectories.experiments.grammar.figures import figures
from trajectories.experiments.grammar.settings import FiguresSettings
from trajectories.figures import FigureContext
from trajectories.layout import Layout
from trajectories.recipes import Settings
from trajectories.verbs import analyse


def context(settings: Settings, layout: Layout, sets: int = 2) -> FigureContext:
    analyse.run(settings, layout, Machine(), "grammar")
    read = {name: tables.read_table(getattr(layout, name)("grammar")) for name in ("trajectories", "claims", "calibration", "recovery")}
    extra = lambda name: tables.read_table(layout.trajectories(f"grammar.{name}"))  # noqa: E731
    return FigureContext(suite=settings.suite, settings=FiguresSettings(sets=sets), extra=extra, **read)


def test_each_set_has_its_figures_and_every_chart_is_valid(results: tuple[Settings, Layout]) -> None:
    drawn = figures(context(*results))
    names = [f.name for f in drawn]
    assert len(set(names)) == len(names)
    assert {"accuracy-planted", "accuracy-by-phenomenon-planted", "acquisition-planted", "agreement-planted", "shape-planted"} <= set(names)
    assert "accuracy-planted-seen" in names
    assert "acquisition-planted-seen" not in names
    for figure in drawn:
        assert figure.chart.to_dict()["$schema"]
        assert figure.caption.endswith(".")
    assert [f.name for f in drawn if f.steps_axis] == [n for n in names if n.startswith("accuracy-")]


def test_so_many_sets_are_drawn_as_asked_for(results: tuple[Settings, Layout]) -> None:
    assert not any("seen" in f.name for f in figures(context(*results, sets=1)))


def test_a_single_checkpoint_still_draws_its_accuracy(results: tuple[Settings, Layout]) -> None:
    settings, layout = results
    steps = {m.name: [160] for m in settings.suite.models}
    names = [f.name for f in figures(context(Settings(settings.suite, settings.section, 1, {"steps": steps}, ""), layout))]
    assert "final-accuracy-planted" in names
    assert "acquisition-planted" not in names
