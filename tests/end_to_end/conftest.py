"""What the tests of whole searches share."""

import pytest
import ray

from gansearch.data.registry import load_dataset
from gansearch.tune.cluster import connected
from gansearch.tune.settings import Settings

from .searches import HOLDERS, SECRET


@pytest.fixture(scope="module")
def _ray():
    """One Ray for all searches of this process, which then neither start nor end one.

    Its start takes as much of a processor as a small search. Its processes have secrets in their
    environment.
    """
    assert not ray.is_initialized()
    with pytest.MonkeyPatch.context() as patch:
        for name in HOLDERS:
            patch.setenv(name, SECRET)
        with connected(Settings(), load_dataset("digits")):
            yield
