"""Grammar: which sentence of a minimal pair is the likelier one, and when in training that becomes the grammatical one.

Warstadt et al. (2020), *BLiMP: The Benchmark of Linguistic Minimal Pairs for English*, TACL 8, gives pairs and scoring for any suite;
embedded suites have planted paradigms of known frequency.
"""
