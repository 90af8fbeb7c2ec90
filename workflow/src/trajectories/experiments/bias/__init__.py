"""Bias: does a model reproduce social stereotypes, does it recognize them, and do the two develop together?"""
