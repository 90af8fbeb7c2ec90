"""The shared helpers of all figures under one name, so that an experiment's figures stay short."""

from trajectories.figures.charts import heatmap, scaling, step_axis, trajectory
from trajectories.figures.decisions import calibration, forest, recovery
from trajectories.figures.look import COVERED, DASHES, RAMP, SHAPES, VERDICTS, config, model_order, model_scales, nothing, ramp

__all__ = [
    "COVERED",
    "DASHES",
    "RAMP",
    "SHAPES",
    "VERDICTS",
    "calibration",
    "config",
    "forest",
    "heatmap",
    "model_order",
    "model_scales",
    "nothing",
    "ramp",
    "recovery",
    "scaling",
    "step_axis",
    "trajectory",
]
