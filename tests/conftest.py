"""How much the property tests search.

``pytest`` draws the same examples everywhere, so a failure is a change and not chance. ``--hypothesis-profile=search``
draws new ones, and many more.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "search", deadline=None, max_examples=2000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")
