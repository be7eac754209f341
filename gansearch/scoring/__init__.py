"""Samples in, numbers and verdicts out: Parzen windows, indicators, health, references."""
