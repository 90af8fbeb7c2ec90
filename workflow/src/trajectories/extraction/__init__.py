"""Extraction: the one step that loads a model and measures it on tables of token sequences.

``items``     what is shown (stimuli as flat arrays) and the digest of what matters to a measurement
``measures``  what can be asked, and how scores of single tokens become an item's columns
``batches``   items of like length together, within a budget, smaller when memory runs out
``model``     a checkpoint's weights, checked against its manifest, behind one small interface
``run``       one pass over the items for all measures
``requests``  what is asked of which checkpoint, and the key of the answer
``store``     what was computed before, found again by digest

Only ``model``, ``run`` and, below them, ``decode`` import torch, and nothing here imports an experiment.
"""
