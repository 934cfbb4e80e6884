"""What a primitive says of itself is so: linear, exact."""

from typing import Any

import numpy as np
import pytest
from drawing import samples, share
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minimeta.autodiff.primitive import registry

LINEAR = [name for name, primitive in registry.items() if primitive.linear]
#: pool_put adds where windows overlap, which is what it is called exact in spite of.
EXACT = [name for name, primitive in registry.items() if primitive.exact and name != "pool_put"]


@pytest.mark.parametrize("name", LINEAR)
@share(0.2)
@given(data=st.data())
def test_what_is_linear_doubles_with_its_operands(name: str, data: st.DataObject) -> None:
    operands, params = data.draw(samples(registry[name]))
    doubled = tuple(2 * x if x.dtype.kind == "f" else x for x in operands)
    reference = registry[name].reference
    assert_array_equal(reference(*doubled, **params), 2 * reference(*operands, **params))


@pytest.mark.parametrize("name", EXACT)
@share(0.2)
@given(data=st.data())
def test_what_is_exact_makes_no_new_number(name: str, data: st.DataObject) -> None:
    operands, params = data.draw(samples(registry[name]))
    numbers = {0.0}.union(*(np.abs(x).ravel().tolist() for x in operands if x.dtype.kind == "f"))
    result: Any = registry[name].reference(*operands, **params)
    assert set(np.abs(np.asarray(result)).ravel().tolist()) <= numbers


@pytest.mark.parametrize("name", [name for name in LINEAR if not (registry[name].signed or registry[name].elementwise)])
@share(0.2)
@given(data=st.data())
def test_what_is_not_signed_lets_no_ones_cancel(name: str, data: st.DataObject) -> None:
    operands, params = data.draw(samples(registry[name]))
    positive = tuple(np.asarray(np.abs(x)) if x.dtype.kind == "f" else x for x in operands)
    assert not np.any(registry[name].kernel(*positive, **params) < 0.0)
