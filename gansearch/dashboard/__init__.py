"""The reports of all runs below a folder as live pages, on this machine alone."""
