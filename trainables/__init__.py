"""Trainable functions: one file per experiment, and what they share. Knows no Ray, no Optuna."""
