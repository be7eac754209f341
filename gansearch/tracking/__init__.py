"""Export of a run's trials to the trackers that its user has."""
