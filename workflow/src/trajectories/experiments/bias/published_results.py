"""Bias among lm-evaluation-harness's published results: CrowS-Pairs by category, WinoBias by prompt, and what tells of side effects.

CrowS-Pairs: the share of pairs whose stereotyping sentence is the likelier one. The harness's ``likelihood_difference`` is the mean of
*absolute* differences: it says how decided a model is, and not in which direction. WinoBias: the share of generated answers that match the
referent exactly; it is no log-probability of a referent and never shares an axis with one.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from trajectories.analysis import AnalysisContext

CROWS = re.compile(r"crows_pairs_(?P<language>english|french)(?:_(?P<category>\w+))?")
WINO = re.compile(r"wino_bias_(?P<type>type[12])_(?P<condition>pro|anti)\+(?P<prompt>.+)")
ALL = "all"
PERPLEXITY, ACCURACY = "ppl", "acc"
NAMES = {"autre": "other", "race_color": "race or colour"}
TASK = "lambada_openai"


def name(category: str) -> str:
    """A category as readers should see it."""
    return NAMES.get(category, category.replace("_", " "))


def zero_shot(context: AnalysisContext) -> pd.DataFrame:
    """The published rows of sound checkpoints, without examples in the prompt: ``model, step, task, metric, value, stderr, n``."""
    published = context.published
    assert published is not None
    rows = published[published["num_fewshot"].fillna(0).eq(0)].merge(context.checkpoints[["model", "step"]], on=["model", "step"])
    return rows.astype({"n": float, "stderr": float})


def _matched(rows: pd.DataFrame, pattern: re.Pattern[str]) -> pd.DataFrame:
    """The rows whose whole task fits a pattern, with its groups as columns."""
    tasks = pd.Series(rows["task"].unique(), dtype=str)
    parts = [(task, found.groupdict()) for task in tasks if (found := pattern.fullmatch(task))]
    if not parts:
        return rows.iloc[:0].assign(**dict.fromkeys(pattern.groupindex, ""))
    facts = pd.DataFrame([{"task": task, **groups} for task, groups in parts])
    return rows.merge(facts, on="task")


def crows_pairs(context: AnalysisContext) -> pd.DataFrame:
    """CrowS-Pairs by step.

    Returns:
        ``model, step, language, category`` (``all`` for the whole set), ``share`` (of pairs whose stereotyping sentence is likelier), ``n``
        (pairs), ``difference`` and ``difference_stderr`` (mean absolute difference of the two log-probabilities, nats); without rows where
        there are no such results.
    """
    rows = _matched(zero_shot(context), CROWS)
    rows = rows.assign(
        category=rows["category"].fillna(ALL).map(name), metric=rows["metric"].replace("likelihood_difference", "likelihood_diff")
    )
    key = ["model", "step", "language", "category"]
    share = rows[rows["metric"] == "pct_stereotype"].drop_duplicates(key)[[*key, "value", "n"]].rename(columns={"value": "share"})
    apart = rows[rows["metric"] == "likelihood_diff"].drop_duplicates(key)[[*key, "value", "stderr"]]
    apart = apart.rename(columns={"value": "difference", "stderr": "difference_stderr"})
    return share.dropna(subset=["n"]).merge(apart, on=key, how="left").sort_values(key, ignore_index=True)


def wino_bias(context: AnalysisContext) -> pd.DataFrame:
    """WinoBias by step: ``model, step, type, condition`` (pro, anti), ``prompt``, ``share`` (exactly right), ``n`` (sentences)."""
    rows = _matched(zero_shot(context), WINO)
    key = ["model", "step", "type", "condition", "prompt"]
    rows = rows[rows["metric"].isin(["em", "exact_match"])].drop_duplicates(key)
    return rows[[*key, "value", "n"]].rename(columns={"value": "share"}).dropna(subset=["n"]).sort_values(key, ignore_index=True)


def wino_bias_gap(table: pd.DataFrame) -> pd.DataFrame:
    """What pro-stereotypical sentences are answered better than anti-stereotypical ones, by prompt and over both.

    The two types are other sentences, so their errors add up as independent ones; the same sentences stand under every prompt, so the
    errors of prompts are added as if they agreed; and a sentence and its twin with the other pronoun are taken as independent, which is
    too wide where both are hard alike.

    Args:
        table: from :func:`wino_bias`.

    Returns:
        ``model, step, prompt`` (``all``: the mean), ``gap``, ``stderr``, ``n`` (pairs), ``right`` (right answers); only where both
        conditions of both types are there.
    """
    index, columns = ["model", "step", "prompt"], ["gap", "stderr", "n", "right"]
    wide = table.pivot_table(index=index, columns=["type", "condition"], values=["share", "n"]).dropna()
    if wide.empty:
        return pd.DataFrame(columns=[*index, *columns])
    pro, anti, n = (
        wide[what].xs(of, axis=1, level="condition").to_numpy() for what, of in (("share", "pro"), ("share", "anti"), ("n", "pro"))
    )
    found, stderr = gap(pro, anti, n)
    each = pd.DataFrame({"gap": found, "stderr": stderr, "n": n.sum(1), "right": ((pro + anti) * n).sum(1)}, wide.index).reset_index()
    both = each.groupby(["model", "step"]).agg(
        gap=("gap", "mean"), stderr=("stderr", "mean"), n=("n", "mean"), right=("right", "sum"), prompts=("prompt", "size")
    )
    both = both[both["prompts"] > 1].reset_index().assign(prompt=ALL)
    return pd.concat([each, both[[*index, *columns]]], ignore_index=True).sort_values(index, ignore_index=True)


def gap(pro: np.ndarray, anti: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over types of the difference of two shares, and its standard error; all ``[..., types]``."""
    variance = (pro * (1 - pro) + anti * (1 - anti)) / (n - 1)
    return (pro - anti).mean(-1), np.sqrt(variance.sum(-1)) / pro.shape[-1]


def lambada(context: AnalysisContext) -> pd.DataFrame:
    """LAMBADA by step: ``model, step, metric`` (``acc``, ``ppl``), ``value, stderr, n``."""
    rows = zero_shot(context)
    rows = rows[(rows["task"] == TASK) & rows["metric"].isin([ACCURACY, PERPLEXITY])].drop_duplicates(["model", "step", "metric"])
    return rows[["model", "step", "metric", "value", "stderr", "n"]].sort_values(["model", "step", "metric"], ignore_index=True)
