"""Pictures: charts of runs, grids of samples, and Figure 1 of the paper."""
