"""Knowledge: facts that a model reads off a prompt as it was seen in training (shallow), and facts that need more than that (deep)."""
