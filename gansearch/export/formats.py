"""The formats of an exported generator: how its weights are written, and how they are loaded."""

from __future__ import annotations

import importlib.util
import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from gansearch.artifacts import GeneratorModule
from gansearch.errors import BadInputError

_ONNX_PACKAGES = ("onnx", "onnxscript")


@dataclass(frozen=True)
class Format:
    """How a generator is written to one file.

    Attributes:
        file: its name.
        needs: the packages that load it.
        encode: returns its content.
        imports: lines of Python that the loader begins with.
        load: returns lines of Python that assign the generator, from its definition.
        call: how the loader calls it, a Python expression of `noise`.
    """

    file: str
    needs: str
    encode: Callable[[GeneratorModule], bytes]
    imports: str
    load: Callable[[str], str]
    call: str = "generator(noise)"


def require_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        BadInputError: the packages that write it are not installed.
    """
    if name == "onnx":
        absent = [p for p in _ONNX_PACKAGES if importlib.util.find_spec(p) is None]
        if absent:
            verb = "is" if len(absent) == 1 else "are"
            raise BadInputError(
                f"--to onnx: {' and '.join(absent)} {verb} not installed. Install the extra: "
                "`pip install 'gansearch[onnx]'`. --to safetensors and --to torchscript need no "
                "other package."
            )
    return FORMATS[name]


def _safetensors(found: GeneratorModule) -> bytes:
    state = {name: value.contiguous() for name, value in found.network.state_dict().items()}
    return save(state, {"format": "pt"})


def _torchscript(found: GeneratorModule) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Torch advises torch.export, which C++ programs and older versions can't load.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        script: Any = torch.jit  # which has no types
        script.save(script.trace(found.network, _example(found), check_trace=False), buffer)
    return buffer.getvalue()


def _onnx(found: GeneratorModule) -> bytes:
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "generator.onnx"
        program = torch.onnx.export(
            found.network,
            (_example(found),),
            input_names=["noise"],
            output_names=["samples"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(path, external_data=False)
        return path.read_bytes()


def _example(found: GeneratorModule) -> torch.Tensor:
    return torch.zeros(found.block, found.noise_dim)


FORMATS = {
    "safetensors": Format(
        file="generator.safetensors",
        needs="torch and safetensors",
        encode=_safetensors,
        imports="import torch\nfrom safetensors.torch import load_file\nfrom torch import nn\n",
        load=lambda definition: (
            f'{definition}generator.load_state_dict(load_file(HERE / "generator.safetensors"))\n'
            "generator.eval()\n"
        ),
    ),
    "torchscript": Format(
        file="generator.pt",
        needs="torch",
        encode=_torchscript,
        imports="import torch\n",
        load=lambda _: 'generator = torch.jit.load(HERE / "generator.pt").eval()\n',
    ),
    "onnx": Format(
        file="generator.onnx",
        needs="torch (for the noise) and onnxruntime",
        encode=_onnx,
        imports="import onnxruntime\nimport torch\n",
        load=lambda _: 'generator = onnxruntime.InferenceSession(HERE / "generator.onnx")\n',
        call='torch.from_numpy(generator.run(None, {"noise": noise.numpy()})[0])',
    ),
}
