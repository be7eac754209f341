"""As ONNX or TorchScript a generator makes the samples that torch makes, of any number."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import torch
from torch import nn

from gansearch.artifacts import GeneratorModule
from gansearch.errors import BadInputError
from gansearch.export.formats import FORMATS
from gansearch.families.trained_generator import TrainedGenerator
from gansearch.networks.own import OwnGenerator
from gansearch.own_network_parameters import OwnNetworkParameters
from tests.families.test_plain_generator import CONVOLUTIONAL, Rows, trained
from tests.own_nets import ConvG


class FirstOnly(nn.Linear):
    """A G whose samples depend on a number that no graph can know."""

    def forward(self, z):
        made = super().forward(z)
        return made if float(made.detach().sum()) > 0 else 2 * made


class Flushing(Rows):
    """A G that touches Python's output."""

    def forward(self, z):
        sys.stdout.flush()
        sys.stderr.flush()
        return super().forward(z)


def own(net: nn.Module, shape: tuple[int, ...]) -> GeneratorModule:
    network = OwnGenerator(net, shape, 6, (-1.0, 1.0))
    return TrainedGenerator(network, OwnNetworkParameters(noise_dim=6), seed=7).module()


GENERATORS = {
    "dense, maxout, batch normalisation": lambda: trained(
        {"generator_normalization": "batch", "generator_activation": "maxout"}, (8, 8, 1)
    ).module(),
    "convolutional": lambda: trained(CONVOLUTIONAL, (9, 8, 3)).module(),
    "own, of rows": lambda: own(Rows(), (4, 5, 3)),
    "own, with len(z)": lambda: own(ConvG(6, (3, 4, 8), last="tanh"), (4, 8, 3)),
    "own, which flushes": lambda: own(Flushing(), (4, 5, 3)),
}


def same_as_torch(made, found: GeneratorModule) -> None:
    # Of fewer in a batch the variance may be so small that its normalisation shows rounding.
    for n in (8, 37, 1300):
        noise = torch.randn(n, found.noise_dim, generator=torch.Generator().manual_seed(n))
        np.testing.assert_allclose(made(noise), found.network(noise).numpy(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", GENERATORS)
def test_onnx_makes_torchs_samples_of_any_number(kind, capfd) -> None:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    found = GENERATORS[kind]()
    content = FORMATS["onnx"].encode(found)
    session = onnxruntime.InferenceSession(content)
    same_as_torch(lambda noise: session.run(None, {"noise": noise.numpy()})[0], found)
    assert b".py" not in content  # no files of the machine that wrote it
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
@pytest.mark.parametrize("kind", list(GENERATORS)[:3])
def test_torchscript_makes_torchs_samples_of_any_number(kind) -> None:
    found = GENERATORS[kind]()
    made = torch.jit.load(io.BytesIO(FORMATS["torchscript"].encode(found)))
    same_as_torch(lambda noise: made(noise).numpy(), found)


def test_a_generator_that_a_format_would_write_for_one_number_alone_is_refused(capfd) -> None:
    with pytest.raises(BadInputError, match=r"as len\(x\) does .* no other number. --to onnx"):
        FORMATS["torchscript"].encode(GENERATORS["own, with len(z)"]())
    pytest.importorskip("onnxscript")
    with pytest.raises(BadInputError, match="can't be written as ONNX for any number of samples"):
        FORMATS["onnx"].encode(own(FirstOnly(6, 60), (4, 5, 3)))
    assert capfd.readouterr() == ("", "")
