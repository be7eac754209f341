"""Runs kernels of Triton on a CPU, by its interpreter."""

import os
import subprocess
import sys


def interpreted(module, *functions):
    """Call functions of a module of tests in a process whose Triton interprets its kernels."""
    calls = "; ".join(f"t.{function.__name__}()" for function in functions)
    done = subprocess.run(
        [sys.executable, "-c", f"import {module} as t; {calls}"],
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
