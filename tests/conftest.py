"""How much the property tests search, and on which kernels.

``pytest`` draws the same examples everywhere, so a failure is a change and not chance. ``--hypothesis-profile=search``
draws new ones, and many more.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from minimeta import kernels

settings.register_profile(
    "default", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "search", deadline=None, max_examples=2000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")


@pytest.fixture(scope="module", params=kernels.able())
def native(request: pytest.FixtureRequest) -> Any:
    """The extension, once for each level that this processor runs."""
    extension = kernels.load(request.param)
    assert extension, "not built: pip install -e ."
    return extension
