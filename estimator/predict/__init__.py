"""The predictors every answer rests on: a training step, serving, retrieval."""
