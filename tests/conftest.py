"""What all tests share."""

import os

# One thread a process, in the tests as in the trials: the same bits, and cores left for Ray's.
os.environ.setdefault("OMP_NUM_THREADS", "1")
