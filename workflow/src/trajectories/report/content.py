"""What the report says, gathered from tables into plain values that the template lays out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from trajectories import __version__, tables
from trajectories.analysis import CLAIMS
from trajectories.provenance import provenance
from trajectories.report import words

if TYPE_CHECKING:
    from pathlib import Path

    from trajectories.layout import Layout
    from trajectories.recipes import Settings
    from trajectories.suites import Model

PACKAGES = ("jinja2", "vl-convert-python")
VERDICTS = ("supported", "refuted", "inconclusive")
TABLES = ("trajectories", "claims", "calibration", "recovery")
SHARED_FIGURES = ("claims", "calibration", "recovery")
"""Figures that every experiment may have, and that stand in sections of their own."""


def inputs(settings: Settings, layout: Layout) -> list[Path]:
    """The files that the report is made of, in a fixed order."""
    found = [layout.audit()]
    for experiment in settings.extra["experiments"]:
        found += [getattr(layout, kind)(experiment) for kind in TABLES]
        found.append(layout.figures_json(experiment))
        if layout.stimuli(experiment).exists() and settings.suite.source != "published":
            found.append(layout.stimuli(experiment))
    return found


def all_claims(settings: Settings, layout: Layout) -> pd.DataFrame:
    """The claims of all experiments, primary ones first within each."""
    found = []
    for experiment in settings.extra["experiments"]:
        claims = tables.read_table(layout.claims(experiment))
        found.append(claims.sort_values("role", key=lambda role: role != "primary", kind="stable"))
    whole = [claims for claims in found if len(claims)]
    return pd.concat(whole, ignore_index=True) if whole else CLAIMS.empty_table().to_pandas()


def gather(settings: Settings, layout: Layout) -> dict[str, Any]:
    """All that the template needs, as strings, numbers, lists and dictionaries.

    Raises:
        UserError: a table is absent or damaged.
    """
    suite, extra = settings.suite, settings.extra
    audit = tables.read_table(layout.audit())
    chosen = audit[[int(row.step) in set(extra["steps"].get(row.model, ())) for row in audit.itertuples()]] if len(audit) else audit
    claims = all_claims(settings, layout)
    experiments = [_experiment(name, settings, layout, claims) for name in extra["experiments"]]
    primary = claims[claims["role"] == "primary"]
    return {
        "suite": suite,
        "title": suite.title or suite.name,
        "source": {"trained": "trained by this workflow", "hub": "checkpoints from the Hugging Face Hub", "published": "published results"}[
            suite.source
        ],
        "models": [_model(model, extra["steps"].get(model.name, []), chosen) for model in suite.models],
        "checkpoints": int(chosen["status"].eq("ok").sum()),
        "verdicts": {verdict: int((primary["verdict"] == verdict).sum()) for verdict in VERDICTS},
        "primary": len(primary),
        "descriptive": len(claims) - len(primary),
        "experiments": experiments,
        "left_out": extra.get("left_out", {}),
        "left_out_checkpoints": _left_out(chosen, extra),
        "include_anomalous": bool(extra.get("include_anomalous")),
        "anomalies": [(m.name, a, words.steps(a.expanded or (), m.all_steps)) for m in suite.models for a in m.anomalies],
        "model_notes": _shared_notes([(m.name, note) for m in suite.models for note in m.notes]),
        "revisions": _revisions(chosen),
        "sources": _sources(settings, layout),
        "provenance": _provenance(settings, layout),
        "sections": {name: json.dumps(section, indent=2, ensure_ascii=False) for name, section in extra.get("sections", {}).items()},
        "seed": settings.seed,
        "code": settings.code,
        "version": __version__,
    }


def _model(model: Model, steps: list[int], audit: pd.DataFrame) -> dict[str, Any]:
    own = audit[audit["model"] == model.name]
    sound = own.loc[own["status"] == "ok", "step"]
    return {
        "facts": model,
        "steps": len(steps),
        "sound": len(sound),
        "first": min(steps, default=None),
        "last": max(steps, default=None),
        "tokens": model.tokens(int(sound.max())) if len(sound) else None,
        "absent": not len(sound),
    }


def _experiment(name: str, settings: Settings, layout: Layout, claims: pd.DataFrame) -> dict[str, Any]:
    paths = {kind: getattr(layout, kind)(name) for kind in TABLES}
    calibration, recovery = (tables.read_table(paths[kind]) for kind in ("calibration", "recovery"))
    trajectories = tables.read_table(paths["trajectories"], ["metric", "level", "group", "model"])
    stimuli = layout.stimuli(name)
    notes = [*tables.metadata(paths["trajectories"]).get("notes", [])]
    stimuli_notes: list[str] = []
    if settings.suite.source != "published" and stimuli.exists():
        stimuli_notes = tables.metadata(stimuli).get("notes", [])
    figures = [
        {**{k: figure[k] for k in ("name", "title", "caption", "steps_axis")}, "id": f"{name}-{figure['name']}", "experiment": name}
        | {"svg": f"figures/{name}/{figure['name']}.svg"}
        for figure in tables.read_json(layout.figures_json(name))["figures"]
    ]
    own = claims[claims["experiment"] == name]
    return {
        "name": name,
        "figures": [f for f in figures if f["name"] not in SHARED_FIGURES],
        **{f"{kind}_figure": next((f for f in figures if f["name"] == kind), None) for kind in SHARED_FIGURES},
        "notes": notes,
        "stimuli_notes": stimuli_notes,
        "metrics": _metrics(trajectories),
        "claims": [_claim(rows) for _, rows in own.groupby("id", sort=False)],
        "recovery": [{**row, "inside": row["covered"]} for row in words.records(recovery)],
        "recovered": int(recovery["covered"].fillna(False).astype(bool).sum()),
        "recoverable": int(recovery["covered"].notna().sum()),
        "calibration": words.records(calibration),
    }


def _metrics(trajectories: pd.DataFrame) -> list[str]:
    """Each metric with its levels and how many groups these have: ``accuracy (paradigm: 67, set: 1)``."""
    groups = trajectories.groupby(["metric", "level"], sort=True)["group"].nunique()
    found: dict[str, list[str]] = {}
    for (metric, level), n in groups.items():
        found.setdefault(str(metric), []).append(f"{level}: {n}")
    return [f"{metric} ({', '.join(levels)})" for metric, levels in found.items()]


def _claim(rows: pd.DataFrame) -> dict[str, Any]:
    """One claim with its rows: the words that all share, the primary rows and the descriptive ones."""
    entries = words.records(rows)
    shared = words.common_sentences([row["reason"] or "" for row in entries])
    methods = {row["method"] or "" for row in entries}
    groups = {row["group"] or "" for row in entries}
    for row in entries:
        row["effect"], row["sample"] = words.effect(row), words.sample(row)
        row["why"] = words.without(row["reason"] or "", shared)
        row["part"] = row["group"] if len(groups) > 1 else ""
        row["how"] = row["method"] if len(methods) > 1 else ""
    primary = [row for row in entries if row["role"] == "primary"]
    return {
        "shared": shared,
        "method": methods.pop() if len(methods) == 1 else "",
        "part": groups.pop() if len(groups) == 1 else "",
        **{k: entries[0][k] for k in ("id", "statement", "prediction", "rival", "family", "metric", "experiment")},
        "margin": words.margin(entries[0]),
        "scale_name": words.scale_name(entries[0]),
        "primary": primary,
        "only_descriptive": not primary,
        "descriptive": [row for row in entries if row["role"] != "primary"],
        "verdicts": {verdict: [row for row in primary if row["verdict"] == verdict] for verdict in VERDICTS},
    }


def _left_out(audit: pd.DataFrame, extra: dict[str, Any]) -> list[dict[str, Any]]:
    """Checkpoints that are not sound, those of one model, status and detail together."""
    bad = audit[audit["status"] != "ok"].fillna({"detail": ""})
    return [
        {
            "model": model,
            "status": status,
            "detail": detail,
            "steps": words.steps(rows["step"], extra["steps"].get(model, ())),
            "count": len(rows),
        }
        for (model, status, detail), rows in bad.groupby(["model", "status", "detail"], sort=False)
    ]


def _shared_notes(notes: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Notes with the models that they concern, each note once."""
    found: dict[str, list[str]] = {}
    for name, note in notes:
        found.setdefault(note, []).append(name)
    return [(words.listed(names), note) for note, names in found.items()]


def _revisions(audit: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Per model the identity of each checkpoint: revision, commit and digest."""
    columns = [c for c in ("step", "revision", "commit", "sha256", "status") if c in audit]
    return {str(model): words.records(rows[columns]) for model, rows in audit.groupby("model", sort=False)}


def _sources(settings: Settings, layout: Layout) -> list[dict[str, Any]]:
    """The data sets that stimuli were made of, each once, with licence, citation and digest."""
    found: dict[str, dict[str, Any]] = {}
    if settings.suite.source == "published":
        return []
    for experiment in settings.extra["experiments"]:
        path = layout.stimuli(experiment)
        for name, facts in (tables.metadata(path).get("sources", {}) if path.exists() else {}).items():
            found.setdefault(name, {"name": name, **facts, "experiments": []})["experiments"].append(experiment)
    return list(found.values())


def _provenance(settings: Settings, layout: Layout) -> dict[str, Any]:
    """Per table: code, seed and inputs; and all package versions in one list."""
    entries, packages, pythons = [], {}, set()
    for experiment in settings.extra["experiments"]:
        found = [("analyse", tables.provenance(layout.trajectories(experiment)))]
        found.append(("figures", tables.read_json(layout.figures_json(experiment)).get("provenance", {})))
        if settings.suite.source != "published" and layout.stimuli(experiment).exists():
            found.insert(0, ("stimuli", tables.provenance(layout.stimuli(experiment))))
        for verb, record in found:
            entries.append(
                {
                    "experiment": experiment,
                    "verb": verb,
                    "code": record.get("code", ""),
                    "seed": record.get("seed"),
                    "inputs": record.get("inputs", {}),
                }
            )
            packages.update(record.get("packages", {}))
            pythons |= {record["python"]} if record.get("python") else set()
    own = provenance(settings, layout, "report", inputs(settings, layout), PACKAGES)
    entries.append({"experiment": "all", "verb": "report", **{k: own[k] for k in ("code", "seed", "inputs")}})
    packages.update(own["packages"])
    return {"entries": entries, "packages": dict(sorted(packages.items())), "python": words.listed(sorted(pythons))}
