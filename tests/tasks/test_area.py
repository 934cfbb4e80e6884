import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from omniglot_drawings import area_average as definition

from minimeta.tasks.area import area_average


@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0, 1))
def test_a_small_pixel_counts_the_ink_under_it(seed: int, density: float) -> None:
    ink = np.random.default_rng(seed).random((2, 3, 105, 105)) < density

    np.testing.assert_array_equal(area_average(ink), definition(~ink))


def test_full_ink_is_225() -> None:
    assert (area_average(np.ones((105, 105), bool)) == 225).all()
    assert (area_average(np.zeros((105, 105), bool)) == 0).all()
