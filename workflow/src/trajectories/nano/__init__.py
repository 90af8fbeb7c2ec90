"""The embedded suites: a corpus of real text with planted truth, and small models trained on it."""
