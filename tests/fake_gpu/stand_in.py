"""Builds the stand-in for CUDA (see fake_cuda.cpp), and runs tests' functions on it.

It takes the place of CUDA's libraries by LD_PRELOAD, so before torch is loaded: each run has a
process of its own. What it says of graphs, streams, memory and counts of kernels holds; values,
bits and speed mean nothing.

    python -m tests.fake_gpu.stand_in nodes_of_the_paper   # prints what a probe returns
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

SOURCES = Path(__file__).parent
ROOT = SOURCES.parents[1]
_PACKAGES = Path(torch.__file__).parents[1]
_HEADERS = ("cublasLt.h", "cuda_runtime_api.h", "crt/host_defines.h")


def why_not() -> str | None:
    """Return what is missing here to build and to use it, or None."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "the stand-in for CUDA needs Linux on x86-64"
    if not (torch.version.cuda or "").startswith("13."):
        return "the stand-in for CUDA needs a torch that was built for CUDA 13"
    if missing := [compiler for compiler in ("g++", "gcc") if shutil.which(compiler) is None]:
        return f"the stand-in for CUDA needs {' and '.join(missing)}"
    folders = include_folders()
    if missing := [h for h in _HEADERS if not any((folder / h).is_file() for folder in folders)]:
        return f"the stand-in for CUDA needs the header {missing[0]}"
    return None


def include_folders() -> list[Path]:
    """Return the folders with CUDA's headers: those in torch's wheels, then the toolkit's."""
    wheels = [*_PACKAGES.glob("nvidia/cu*/include"), *_PACKAGES.glob("nvidia/*/include")]
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "include")
    folders = [*wheels, _PACKAGES / "triton/backends/nvidia/include", toolkit]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def build(folder: Path) -> StandIn:
    """Compile the two libraries into a folder; it takes a few seconds."""
    flags = ["-O0", "-fPIC", "-shared", "-w"]
    includes = [f"-idirafter{folder}" for folder in include_folders()]
    sources = [str(SOURCES / name) for name in ("fake_cuda.cpp", "fake_cublas.cpp")]
    hidden = ["-std=c++17", "-fvisibility=hidden", *includes]
    driver = [str(SOURCES / "fake_driver.c"), "-o", str(folder / "libcuda.so.1"), "-ldl"]
    subprocess.run(
        ["g++", *flags, *hidden, *sources, "-o", str(folder / "libfg.so"), "-ldl"], check=True
    )
    subprocess.run(["gcc", *flags, *driver], check=True)
    (folder / "libcuda.so").symlink_to("libcuda.so.1")
    return StandIn(folder)


@dataclass(frozen=True)
class StandIn:
    """The stand-in, built into a folder."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to have such a GPU."""
        return os.environ | {
            "LD_PRELOAD": str(self.folder / "libfg.so"),
            "LD_LIBRARY_PATH": str(self.folder),
            "TRITON_LIBCUDA_PATH": str(self.folder),
            "TRITON_CACHE_DIR": str(self.folder / "triton"),
            "FAKE_GPU_LIB": str(self.folder / "libfg.so"),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }

    def run(
        self, timeout: float = 250, *, without_compiler: bool = False, **probes: list[Any]
    ) -> Found:
        """Call functions of `probes`, each with its arguments, in one process."""
        no_compiler = {"CC": "/bin/false", "TRITON_CACHE_DIR": str(self.folder / "empty")}
        done = subprocess.run(
            [sys.executable, "-m", "tests.fake_gpu.probes", json.dumps(probes)],
            env=self.environment | (no_compiler if without_compiler else {}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"it ended with {done.returncode}:\n{done.stderr}"
        return Found(json.loads(done.stdout.splitlines()[-1]))


class Found(dict[str, Any]):
    """What each probe returned; asking for what one has not returned fails with its traceback."""

    def __getitem__(self, probe: str) -> Any:
        result, error = super().__getitem__(probe)
        assert error is None, error
        return result


class Counters:
    """What the stand-in has counted in this process since `clear`."""

    def __init__(self) -> None:
        self._library = _library()

    def clear(self) -> None:
        self._library.fg_clear()

    def __getitem__(self, kind: str) -> int:
        """Return a count of "captures", "captured nodes", "graph launch", "kernel", "gemm", …."""
        return int(self._library.fg_count(kind.encode()))

    @property
    def violations(self) -> list[str]:
        """What broke the rules of stream capture."""
        path = Path(os.environ["FAKE_GPU_LIB"]).with_name(f"violations-{os.getpid()}")
        self._library.fg_violations(str(path).encode())
        return path.read_text().splitlines()


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ["FAKE_GPU_LIB"])
    library.fg_count.restype = ctypes.c_long
    return library


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder:
        for name, result in (
            build(Path(folder)).run(**{probe: [] for probe in sys.argv[1:]}).items()
        ):
            print(name, *filter(None, result))
