"""The parts of the analysis, each on its own stimuli or published results."""
