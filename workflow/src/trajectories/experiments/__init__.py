"""The experiments: one module (or package) each, which nothing else names.

A module ``trajectories.experiments.<name>`` says up to seven things. A package may keep each in a file of its own (``stimuli.py``,
``analyse.py``, ``figures.py``, ``settings.py``), so that an edit of one reruns only what stands on it.

``Settings``
    a pydantic model: the experiment's section of ``config.yaml``, each field with a default and a description.
``unavailable(suite) -> str | None``
    why the experiment cannot run on that suite, in one sentence, or ``None``.
``COUNTS_TERMS``
    optional, beside ``Settings``: ``True`` where the stimuli name terms that are to be counted in the training orders.
``stimuli(context: StimuliContext) -> Stimuli``
    which token sequences are shown to every checkpoint, and which measures are taken.
``analyse(context: AnalysisContext) -> Analysis``
    how measurements become trajectories and claims.
``figures(context: FigureContext) -> list[Figure]``
    what is drawn.
``plan(context: PlanContext) -> Plan``
    optional: what the configured run could tell, and the sample that it would take.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Any

PARTS = {
    "Settings": "settings",
    "unavailable": "settings",
    "stimuli": "stimuli",
    "analyse": "analyse",
    "figures": "figures",
    "plan": "plan",
}


def known() -> list[str]:
    """Names of the experiments that exist, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def module(experiment: str, part: str) -> str:
    """Full name of the module that holds ``part`` of an experiment: its own file if there is one, else the experiment's."""
    base = f"{__name__}.{experiment}"
    own = f"{base}.{PARTS[part]}"
    if importlib.util.find_spec(base).submodule_search_locations and importlib.util.find_spec(own):  # type: ignore[union-attr]
        return own
    return base


def part(experiment: str, name: str) -> Any:
    """The function or class ``name`` (a key of :data:`PARTS`) of an experiment."""
    return getattr(importlib.import_module(module(experiment, name)), name)


def has(experiment: str, name: str) -> bool:
    """Whether an experiment says ``name`` (a key of :data:`PARTS`); one that only looks at weights has no ``stimuli``."""
    base = f"{__name__}.{experiment}"
    return module(experiment, name) != base or hasattr(importlib.import_module(base), name)


def counts_terms(experiment: str) -> bool:
    """Whether an experiment's stimuli name terms that are to be counted in the training orders."""
    return bool(getattr(importlib.import_module(module(experiment, "Settings")), "COUNTS_TERMS", False))


def settings(experiment: str, verb: str, section: dict[str, Any]) -> Any:
    """The part of an experiment's ``Settings`` that ``verb`` sees, from the recipe's ``section``; None where it has no such part."""
    field = part(experiment, "Settings").model_fields.get(verb)
    return None if field is None else field.annotation.model_validate(section)
