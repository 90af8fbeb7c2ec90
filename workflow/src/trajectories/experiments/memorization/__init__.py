"""Does it matter when in training a row is seen? Which rows a model can recite, by their place in the training order."""
