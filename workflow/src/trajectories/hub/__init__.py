"""The Hub: what it holds of a model (audit), and its checkpoints on disk (fetch)."""
