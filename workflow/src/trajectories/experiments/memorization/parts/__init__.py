"""The analyses of the memorization experiment, one question each.

A part has ``analyse(run, context, found)``, called for every model and window (:class:`trajectories.experiments.memorization.run.Run`), or
``compare(runs, context, found)``, called once with every model's primary run reduced to its last checkpoint, or both. It adds rows to
:class:`trajectories.findings.Findings`. Claims are declared before the data are seen, by ``claims(settings)``.
"""
