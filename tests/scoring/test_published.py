from dataclasses import replace
from typing import Any

from gansearch.data.dataset import Dataset
from gansearch.runs.schemas import REFERENCES
from gansearch.scoring.published import published_lines


def published(name: str, digits: Dataset) -> dict[str, Any]:
    return {line["name"]: line for line in published_lines(replace(digits, name=name))}


def test_published_figures_stand_beside_the_data_they_belong_to_with_their_source(
    digits: Dataset,
) -> None:
    mnist = published("mnist", digits)
    nets = mnist["adversarial nets"]
    assert (nets["test_ll"], nets["test_ll_se"], nets["n_samples"]) == (225, 2, 10_000)
    assert nets["source"] == "Goodfellow et al. 2014, Table 1"
    assert nets["coverage"] is None
    assert list(nets) == REFERENCES.names
    assert published("tfd", digits)["adversarial nets"]["test_ll"] == 2057
    # Another fold of the same faces.
    assert published("tfd-3", digits)["DBN"]["test_ll"] == 1909
    assert published("digits", digits) == {}
    assert published("folder", digits) == {}
