"""The formats of an exported generator: how its weights are written, and how they are loaded."""

from __future__ import annotations

import importlib.util
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from gansearch.artifacts import GeneratorModule
from gansearch.errors import BadInputError
from gansearch.system.checks import first_line

_ONNX_PACKAGES = ("onnx", "onnxscript")
_ANY_NUMBER = ({0: torch.export.Dim("n")},)  # of rows of noise


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
        remark: what else its user should know, a sentence after a space.
    """

    file: str
    needs: str
    encode: Callable[[GeneratorModule], bytes]
    imports: str
    load: Callable[[str], str]
    call: str = "generator(noise)"
    remark: str = ""


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
        warnings.simplefilter("ignore")
        script: Any = torch.jit  # which has no types
        traced = script.trace(found.network, _example(found), check_trace=False)
        script.save(traced, buffer)
    if not _takes_any_number(traced, found.noise_dim):
        raise BadInputError(
            f"--to torchscript: the generator's code fixes the number of samples, as len(x) does "
            f"in place of x.shape[0], so that it would take {found.block:,} at a time and no other "
            "number. --to onnx writes it for any number."
        )
    return buffer.getvalue()


def _takes_any_number(traced: Callable[[torch.Tensor], torch.Tensor], noise_dim: int) -> bool:
    """Return whether a traced generator makes two samples as well as a block of them."""
    try:
        return len(traced(torch.zeros(2, noise_dim))) == 2
    except RuntimeError:
        return False


def _onnx(found: GeneratorModule) -> bytes:
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    with _silent_torch(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        try:
            program = torch.onnx.export(
                _captured(found),
                input_names=["noise"],
                output_names=["samples"],
                dynamic_shapes=_ANY_NUMBER,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # of many kinds, by what the user's code does
            raise BadInputError(
                "--to onnx: the generator can't be written as ONNX for any number of samples: "
                f"{first_line(error).removesuffix('.')}. --to torchscript may."
            ) from error
        assert program is not None
        ClearMetadataAndDocStringPass()(program.model)  # it names files of this machine
        program.save(path, external_data=False)
        return path.read_bytes()


def _captured(found: GeneratorModule) -> torch.export.ExportedProgram:
    """Return the graph of a generator, for noise of any number of rows.

    Left to itself, torch.onnx.export would write one for a fixed number where it finds no other.
    """
    example = (_example(found),)
    try:
        return torch.export.export(found.network, example, dynamic_shapes=_ANY_NUMBER)
    except Exception:  # such as len(x), which only reading the code itself can follow
        return torch.export.export(found.network, example, dynamic_shapes=_ANY_NUMBER, strict=True)


@contextmanager
def _silent_torch() -> Iterator[None]:
    """Keep torch from printing warnings and graphs; what it can't do is raised all the same."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        unread = io.StringIO()  # not None, which no network could flush
        with warnings.catch_warnings(), redirect_stdout(unread), redirect_stderr(unread):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


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
        remark=(
            " Any other program that reads ONNX gives the input `noise`, and gets the output "
            "`samples`."
        ),
    ),
}
