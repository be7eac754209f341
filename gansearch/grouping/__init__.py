"""Many trainings on one GPU: groups of one structure, and the engine of a device."""
