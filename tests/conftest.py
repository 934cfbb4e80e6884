"""How many examples the property tests draw, and on which kernels they run.

``pytest`` draws the same examples everywhere, so that a failure means a change and not chance.
``--hypothesis-profile=search`` draws new examples, and many more; ``few`` is for a second Python.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from minimeta import kernels, operations

settings.register_profile(
    "default", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "search", deadline=None, max_examples=2000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("few", settings.get_profile("default"), max_examples=20)
settings.load_profile("default")

operations.load_pages()  # Tests go through all primitives.


@pytest.fixture(scope="module", params=kernels.built())
def native(request: pytest.FixtureRequest) -> Any:
    """Return the extension, once for each level that was built and that this processor runs."""
    extension = kernels.load(request.param)
    assert extension, "not built: pip install -e ."
    return extension
