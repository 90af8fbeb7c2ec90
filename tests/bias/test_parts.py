"""The parts on measurements of known truth: what was put in comes back, and what a suite lacks is skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer
from trajectories import data
from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.figures import figures
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.parts import limits, occupations, prompts, relation, stereotypes, winobias, winogender
from trajectories.experiments.bias.settings import AnalyseSettings, FiguresSettings, StimuliSettings
from trajectories.experiments.bias.stimuli import stimuli
from trajectories.figures import FigureContext
from trajectories.findings import Findings
from trajectories.nano.occupations import occupations as planted
from trajectories.nano.settings import Occupations
from trajectories.statistics.calibration import EXCEEDED, power, simulated
from trajectories.statistics.claims import table
from trajectories.stimuli import StimuliContext
from trajectories.suites import Model, Order, Suite, load_suite

STEPS = [0, 10, 100, 400]
SETTINGS = AnalyseSettings(simulations=40)


def suite() -> Suite:
    facts: dict[str, Any] = {
        "layers": 1, "width": 8, "heads": 2, "head_width": 4, "vocabulary": 512, "learning_rate": 0.01, "rows_per_step": 1,
        "tokens_per_step": 32, "steps_total": 400, "dtype": "float32", "parameters_non_embedding": 500, "parameters_total": 8692,
    }  # fmt: skip
    model = Model(name="one", order="standard", seed=1, steps=STEPS, **facts)
    orders = {"standard": Order(row_tokens=33, rows=400)}
    return Suite(name="small", title="Small", description="Pairs.", source="trained", orders=orders, models=[model])


def context(
    items: pd.DataFrame, scores: Callable[[int], np.ndarray], truth: pd.DataFrame | None = None, exposures: pd.DataFrame | None = None
) -> AnalysisContext:
    def read(model: str, step: int) -> pd.DataFrame:
        return pd.DataFrame({"item_id": items["item_id"], "logprob": scores(step), "n_tokens": 1})

    def tables(name: str) -> pd.DataFrame:
        assert truth is not None
        return truth

    steps = pd.DataFrame({"model": "one", "step": STEPS, "tokens": [32 * s for s in STEPS]})
    return AnalysisContext(
        suite(), SETTINGS, 1, steps, steps.iloc[:0], items, exposures, tables, truth is not None, None, read, {"one": [("standard", 0)]}
    )


@pytest.fixture(scope="module")
def shown(data_dir: Path) -> pd.DataFrame:
    """Every item of the public sets, tokenized as Pythia reads them."""
    tokenizer = Tokenizer.from_file(str(data_dir / "pythia" / "utils" / "20B_tokenizer.json"))
    asked = StimuliContext(
        load_suite("pythia"),
        StimuliSettings(),
        1,
        {},
        {},
        lambda: tokenizer,
        lambda n: pd.DataFrame(),
        False,
        lambda n: data.folder(n, data_dir),
    )
    return stimuli(asked).table.drop(columns="input_ids")


def planted_items(sentences: int = 200) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Items, truth and exposures of planted occupations."""
    truth, made = planted(Occupations(sentences=sentences), 1)
    rows = []
    for one in truth.itertuples():
        kind = "feminine" if one.share_planned > 0.5 else "masculine" if one.share_planned < 0.5 else "balanced"  # type: ignore[operator]
        for template in range(7):
            for variant in ("feminine", "masculine"):
                pair = f"{one.occupation}/{template}"
                facts = {"pair_id": pair, "variant": variant, "category": kind, "cluster": one.occupation, "setting": str(template)}
                facts |= {"part": "occupations", "probe": False, "held_out": template == one.held_out_template}
                rows.append({"item_id": f"occupations/{pair}/{variant}"} | facts)
    shuffled = np.random.default_rng(1).permutation(len(made))
    exposures = [
        (f"occupations/{s.source}/{s.variant}/{'feminine' if s.feminine else 'masculine'}", "standard", int(i), int(i) * 400 // len(made))
        for i, s in zip(shuffled, made, strict=True)
    ]
    return pd.DataFrame(rows), truth, pd.DataFrame(exposures, columns=["item_id", "order", "row", "step"])


def pronouns(items: pd.DataFrame, truth: pd.DataFrame, slope: float) -> Callable[[int], np.ndarray]:
    """Measurements whose log odds follow the planted ones at a slope that grows with training."""
    share = truth.set_index("occupation")["share_feminine"].loc[items["cluster"]].to_numpy()
    level = items["setting"].astype(int).to_numpy() - 3.0
    sign = np.where(items["variant"] == "feminine", 0.5, -0.5)

    def scores(step: int) -> np.ndarray:
        noise = np.random.default_rng(step).normal(0, 0.1, len(items))
        return sign * (level + slope * step / 400 * np.log(share / (1 - share))) + noise

    return scores


@pytest.mark.parametrize(("slope", "verdict"), [(1.6, "supported"), (1.0, "refuted"), (0.3, "refuted")])
def test_amplification_is_told_from_matching(slope: float, verdict: str) -> None:
    items, truth, exposures = planted_items()
    found = Findings()
    occupations.analyse(context(items, pronouns(items, truth, slope), truth, exposures), found)
    decided = table(found.claims).set_index("id")
    assert decided.loc["skew-amplified", "verdict"] == verdict
    assert decided.loc["skew-amplified", "estimate"] == pytest.approx(slope - 1, abs=0.08)
    assert decided.loc["skew-generalized", "verdict"] == ("supported" if slope > 0.5 else "refuted")
    counts = [r for r in found.recovery if "counted" in r["parameter"]]
    assert [r["covered"] for r in counts] == [True]
    covered = np.mean([r["covered"] for r in found.recovery if "log odds" in r["parameter"]])
    assert covered > 0.7 if slope == 1.0 else covered < 0.6


def test_counts_are_those_below_the_step() -> None:
    items, truth, exposures = planted_items()
    made = context(items, pronouns(items, truth, 1), truth, exposures)
    pairs = items[items["variant"] == "feminine"].reset_index(drop=True)
    counts = occupations.counted(made, "one", pairs)
    assert sum(c.sum() for c in counts(0)) == 0
    seen = exposures[exposures["step"] < 100]["item_id"].str.startswith("occupations/nurse/")
    at = int(np.flatnonzero(pairs["cluster"] == "nurse")[0])
    assert sum(c[at] for c in counts(100)) == seen.sum()
    assert counts(400)[0][at] == truth.set_index("occupation").loc["nurse", "feminine"]


@pytest.mark.parametrize("group", [occupations.SEEN, occupations.UNSEEN])
def test_decisions_on_slopes_keep_their_level(group: str) -> None:
    items, truth, _ = planted_items()
    pairs = items[items["variant"] == "feminine"].reset_index(drop=True)
    x = occupations.planted_log_odds(truth, pairs)
    generator = np.random.default_rng(2)
    residual = generator.normal(0, 0.3, 21)[pd.factorize(pairs["cluster"])[0]] + generator.normal(0, 0.4, len(pairs))
    less = float(group == occupations.SEEN)
    claim = claims(SETTINGS)["skew-amplified" if less else "skew-generalized"]
    simulate = occupations.simulation(pairs, x + residual, x, group, less)
    found = power(claim, simulated(claim, simulate, n_sim=60, seed=1, at_margin=4))
    assert found["level"] != EXCEEDED
    assert found["power_supported"] > 0.3


def test_strongly_skewed_occupations_develop_faster_and_that_is_found() -> None:
    items, truth, exposures = planted_items()
    found = Findings()
    stereotypes.analyse(context(items, pronouns(items, truth, 1.0), truth, exposures), found)
    decided = table(found.claims).set_index("id")
    assert decided.loc["categories-differ", "verdict"] == "supported"
    rates = {r["group"]: r["value"] for r in found.trajectories if r["metric"] == "development_rate"}
    assert rates["skewed 95 to 5"] > rates["skewed 80 to 20"] > rates["skewed 65 to 35"]


def test_every_public_set_is_scored_in_the_right_direction(shown: pd.DataFrame) -> None:
    """Measurements that prefer stereotypes everywhere, more with each step."""
    more = (shown["variant"].isin(["more"]) & shown["part"].eq("crows_pairs")).to_numpy()
    resolved = (shown["part"].eq("winobias") & shown["variant"].eq("pro") & shown["answer"].eq("right")).to_numpy()
    women = (shown["part"].eq("winogender") & shown["variant"].eq("feminine") & shown["category"].eq("occupation")).to_numpy()
    asked = (shown["part"].eq("recognition") & shown["variant"].eq("more") & shown["answer"].eq("yes")).to_numpy()
    share = shown["bls"].fillna(50).to_numpy() / 100

    def scores(step: int) -> np.ndarray:
        noise = np.random.default_rng(step).normal(0, 1, len(shown))
        signal = 1.0 * more + 1.0 * resolved + 1.0 * asked + women * 0.5 * np.log(share / (1 - share))
        return noise + step / 400 * signal

    made, found = context(shown, scores), Findings()
    for part in (occupations, stereotypes, winobias, winogender, prompts, relation, limits):
        part.analyse(made, found)
    decided = table(found.claims)
    primary = decided[decided["role"] == "primary"].set_index("id")
    wanted = ["stereotypes-preferred", "coreference-stereotyped", "labour-statistics-followed", "recognized-in-prompts"]
    assert (primary.loc[wanted, "verdict"] == "supported").all()
    assert primary.loc["categories-differ", "verdict"] != "supported"  # all develop alike
    assert primary.loc["coreference-stereotyped", "estimate"] == pytest.approx(1.0, abs=0.3)
    assert primary.loc["labour-statistics-followed", "estimate"] == pytest.approx(0.5, abs=0.3)
    assert len(decided[decided["id"] == "stereotypes-preferred"]) == 1 + 9
    rows = pd.DataFrame(found.trajectories)
    assert not rows.duplicated(["model", "step", "metric", "level", "group", "setting"]).any()
    first = rows[(rows["step"] == 0) & (rows["metric"] == "stereotype_preferred") & (rows["level"] == "all")]
    assert first["value"].iloc[0] == pytest.approx(0.5, abs=0.05)
    assert any("1,677" in note for note in found.notes)


def test_decisions_of_the_public_sets_keep_their_level(shown: pd.DataFrame) -> None:
    generator = np.random.default_rng(3)
    noise = generator.normal(0, 1, len(shown))
    found, made = Findings(), context(shown, lambda step: noise)
    winobias.analyse(made, found)
    winogender.analyse(made, found)
    assert len(found.calibrands) == 2
    for one in found.calibrands:
        tried = power(one.claim, simulated(one.claim, one.simulate, n_sim=60, seed=1, at_margin=4))
        assert tried["level"] != EXCEEDED, one.claim.id


def test_every_figure_is_drawn_from_what_the_parts_found(shown: pd.DataFrame) -> None:
    made, found = context(shown, lambda step: np.random.default_rng(step).normal(0, 1, len(shown))), Findings()
    for part in (stereotypes, winobias, winogender, prompts):
        part.analyse(made, found)
    rows = pd.DataFrame(found.trajectories).assign(parameters_non_embedding=500, tokens=1)
    extra = {name: pd.DataFrame(rows) for name, rows in found.extra.items()}
    drawn = figures(FigureContext(made.suite, FiguresSettings(), rows, rows.iloc[:0], rows.iloc[:0], rows.iloc[:0], extra.__getitem__))
    assert [one.name for one in drawn] == ["crows-pairs-difference", "winobias-effect", "winogender-labour", "recognition"]
    for one in drawn:
        assert one.chart.to_dict()
