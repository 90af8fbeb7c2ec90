"""Pythia Trajectories: what language models learn, when in training, and how that changes with scale."""

__version__ = "0.1.0"
