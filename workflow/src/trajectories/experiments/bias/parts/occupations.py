"""Planted occupations: the model's pronouns against those planted and those counted in its training so far. Does it amplify the skew?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext
from trajectories.experiments.bias.effects import coefficient, mean, row
from trajectories.experiments.bias.hypotheses import claims
from trajectories.experiments.bias.scores import differences, own_runs, read
from trajectories.findings import Calibrand, Findings
from trajectories.statistics import claims as decisions
from trajectories.statistics.claims import Result, objection

SEEN, UNSEEN = "templates seen in training", "held-out template"
PLANTED, COUNTED = "planted", "counted"


def analyse(context: AnalysisContext, found: Findings) -> None:
    """Log odds of the feminine pronoun by occupation, slopes over occupations, claims, and planted against found."""
    scores = read(context, "occupations")
    if scores is None:
        return
    own = claims(context.settings)
    pairs, log_odds = differences(scores, "feminine", "masculine")
    branches = [m.name for m in context.suite.models if m.parent is not None]
    planted = planted_log_odds(context.truth("occupations"), pairs)
    for model, values in log_odds.items():
        counts = counted(context, model, pairs)
        steps = scores.steps[model]
        for step, y in zip(steps.tolist(), values, strict=True):
            place = {"model": model, "step": step}
            x = _log_odds(*counts(step))
            found.trajectories += [place | r for r in by_occupation(pairs, y, x)]
            for against, given in ((PLANTED, planted), (COUNTED, x)):
                if np.ptp(given) > 0:
                    found.trajectories += [place | r | {"setting": against} for r in _slopes(pairs, y, given)]
        last, y, x = int(steps[-1]), values[-1], _log_odds(*counts(int(steps[-1])))
        role = "descriptive" if model in branches else None
        caveat = "A branch, trained on from another model's checkpoint: descriptive." if model in branches else ""
        for name, group, less in (("skew-amplified", SEEN, 1.0), ("skew-generalized", UNSEEN, 0.0)):
            result = slope(pairs, y, x, group, less)
            found.claims.append(decisions.row(own[name], result, model, last, role=role, caveat=caveat))
            if model not in branches:
                note = "Residuals of occupations and of sentences are drawn anew and set around a line of the wanted slope."
                found.calibrands.append(Calibrand(own[name], model, simulation(pairs, y, x, group, less), objection(result), note=note))
        found.recovery += recovered(pairs, y, x, model, last, branch=model in branches)
        order = context.suite.orders.get(context.model(model).order or "")
        if model not in branches and order is not None and order.edit is None:
            found.recovery += counts_match(context.truth("occupations"), pairs, counts(context.model(model).steps_total), model, last)
    found.note(
        "Pronouns of planted occupations: counted are the sentences in which the order shows an occupation with either pronoun in the rows "
        "below the step, along the model's own history; half a sentence is added to each count. Nothing is sampled, so the slope on counts "
        "is not drawn towards 0 by errors in them. Occupations are the clusters; each template has a level of its own, so "
        "intervals are about these templates."
    )
    if not own_runs(context):
        found.note("Every model is a branch, so no claim about planted occupations is primary.")


def _log_odds(feminine: np.ndarray, masculine: np.ndarray) -> np.ndarray:
    return np.log((feminine + 0.5) / (masculine + 0.5))


def planted_log_odds(truth: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """Log odds of the planted share of the feminine pronoun, for each pair [pairs]."""
    share = truth.set_index("occupation")["share_feminine"].loc[pairs["cluster"]].to_numpy()
    return np.log(share / (1 - share))


def counted(context: AnalysisContext, model: str, pairs: pd.DataFrame) -> Any:
    """A function from a step to how often the model has read each pair's occupation with the feminine and the masculine pronoun by then."""
    exposures = context.exposures_of(model)
    exposures = exposures[exposures["item_id"].str.startswith("occupations/")]
    parts = exposures["item_id"].str.split("/", expand=True)
    step = exposures["step"].to_numpy()
    tables = {}
    for kind in ("feminine", "masculine"):
        mine = (parts[3] == kind).to_numpy() if len(parts.columns) > 3 else np.zeros(len(exposures), bool)
        tables[kind] = {name: np.sort(step[mine & (parts[1] == name).to_numpy()]) for name in pairs["cluster"].unique()}

    def until(at: int) -> tuple[np.ndarray, np.ndarray]:
        numbers = ({name: np.searchsorted(s, at) for name, s in tables[kind].items()} for kind in ("feminine", "masculine"))
        feminine, masculine = (pairs["cluster"].map(n).to_numpy(dtype=float) for n in numbers)
        return feminine, masculine

    return until


def by_occupation(pairs: pd.DataFrame, y: np.ndarray, x: np.ndarray) -> Iterator[dict[str, Any]]:
    """Mean log odds of each occupation over the templates that training has it in, with an interval over templates; and those counted."""
    y = levelled(pairs, y, x)
    for name in pairs["cluster"].unique():
        mine = ((pairs["cluster"] == name) & ~pairs["held_out"]).to_numpy()
        place = {"level": "occupation", "group": name, "setting": SEEN}
        found = mean(y[mine], np.arange(mine.sum()))
        yield place | {"metric": "pronoun_log_odds"} | row(found) | {"method": "mean over templates less their levels, t"}
        plain = {"value": float(x[mine][0]), "stderr": np.nan, "ci_low": np.nan, "ci_high": np.nan, "n": int(mine.sum())}
        yield place | {"metric": "counted_log_odds"} | plain | {"method": "counted in the order"}


def design(pairs: pd.DataFrame, x: np.ndarray) -> np.ndarray:
    """A level for each template, the line on x, a level and a further slope for held-out templates."""
    held = pairs["held_out"].to_numpy(dtype=float)
    templates = pd.get_dummies(pairs["setting"]).to_numpy(dtype=float)
    return np.column_stack([templates, x, held, held * x])


def levelled(pairs: pd.DataFrame, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The log odds with what a template does to all occupations alike taken away, their mean over templates kept."""
    made = design(pairs, x)
    templates = made.shape[1] - 3
    found = np.linalg.lstsq(made, y, rcond=None)[0][:templates]
    return y - made[:, :templates] @ (found - found.mean())


def slope(pairs: pd.DataFrame, y: np.ndarray, x: np.ndarray, group: str, less: float = 0.0) -> Result:
    """Slope of the model's log odds on x over occupations, in the templates of ``group``."""
    made = design(pairs, x)
    wanted = np.zeros(made.shape[1])
    wanted[-3] = 1.0
    wanted[-1] = float(group == UNSEEN)
    return coefficient(y, made, wanted, pairs["cluster"].to_numpy(), less)


def _slopes(pairs: pd.DataFrame, y: np.ndarray, x: np.ndarray) -> Iterator[dict[str, Any]]:
    for group in (SEEN, UNSEEN):
        yield {"metric": "matching_slope", "level": "templates", "group": group} | row(slope(pairs, y, x, group))


def simulation(pairs: pd.DataFrame, y: np.ndarray, x: np.ndarray, group: str, less: float) -> Any:
    """The whole decision on log odds of known slope: (generator, true effect) → result.

    Residuals of occupations (means over their templates) and of sentences around them are drawn with replacement, inflated for the line
    that was fitted to them.
    """
    made = design(pairs, x)
    fitted, *_ = np.linalg.lstsq(made, y, rcond=None)
    code, names = pd.factorize(pairs["cluster"])
    residual = y - made @ fitted
    own = np.bincount(code, weights=residual) / np.bincount(code)
    rest = residual - own[code]
    own = own * np.sqrt(len(names) / max(len(names) - 3, 1))
    rest = rest * np.sqrt(len(y) / max(len(y) - len(names) - made.shape[1], 1))
    flat = fitted.copy()
    flat[[-3, -1]] = 0.0

    def simulate(generator: np.random.Generator, truth: float) -> Result:
        slopes = flat.copy()
        slopes[-3] = truth + less if group == SEEN else 1.0
        slopes[-1] = 0.0 if group == SEEN else truth + less - 1.0
        drawn = made @ slopes + generator.choice(own, len(names))[code] + generator.choice(rest, len(y))
        return slope(pairs, drawn, x, group, less)

    return simulate


def recovered(pairs: pd.DataFrame, y: np.ndarray, x: np.ndarray, model: str, step: int, branch: bool) -> Iterator[dict[str, Any]]:
    """Each occupation's counted log odds against the model's, with an interval over the templates that training has it in."""
    y = levelled(pairs, y, x)
    for name in pairs["cluster"].unique():
        mine = ((pairs["cluster"] == name) & ~pairs["held_out"]).to_numpy()
        found = row(mean(y[mine], np.arange(mine.sum())))
        truth = float(x[mine][0])
        covered = bool(found["ci_low"] <= truth <= found["ci_high"])
        kind = "of the run before and after the branch" if branch else "of the whole run"
        comment = f"Truth: log odds of the sentences {kind}; covered if the model matches them."
        if not covered:
            off = "further from even than" if abs(found["value"]) > abs(truth) else "nearer to even than"
            comment += (
                f" The model's are {off if found['value'] * truth > 0 else 'on the other side of even from'} what it read: a fact about "
                "the model, not about the counts. It may weigh late rows more, share strength between occupations and templates, or not "
                "have learnt the skew in full; this table does not tell which."
            )
        yield {
            "parameter": f"log odds of she to he, {name}",
            "model": model,
            "step": step,
            "truth": truth,
            "estimate": found["value"],
            "ci_low": found["ci_low"],
            "ci_high": found["ci_high"],
            "covered": covered,
            "n": int(mine.sum()),
            "method": "mean over templates less their levels, t interval",
            "comment": comment,
        }


def counts_match(
    truth: pd.DataFrame, pairs: pd.DataFrame, counts: tuple[np.ndarray, np.ndarray], model: str, step: int
) -> Iterator[dict[str, Any]]:
    """Whether the order of a run has as many feminine and masculine sentences of each occupation as were planted."""
    feminine, masculine = (pd.Series(c, index=pairs["cluster"]).groupby(level=0).first().loc[truth["occupation"]] for c in counts)
    planted = truth["feminine"].to_numpy(dtype=float)
    apart = np.abs(feminine.to_numpy() - planted) + np.abs(masculine.to_numpy() - (truth["sentences"].to_numpy() - planted))
    yield {
        "parameter": "share of occupations whose sentences by pronoun are counted as planted",
        "model": model,
        "step": step,
        "truth": 1.0,
        "estimate": float((apart == 0).mean()),
        "ci_low": float((apart == 0).mean()),
        "ci_high": float((apart == 0).mean()),
        "covered": bool((apart == 0).all()),
        "n": len(truth),
        "method": "comparison token by token at the planted places",
        "comment": f"{feminine.sum() + masculine.sum():,.0f} sentences counted, {truth['sentences'].sum():,} planted.",
    }
