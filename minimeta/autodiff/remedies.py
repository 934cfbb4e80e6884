"""What to write in place of what numpy has and Arrays lack.

Names are those of numpy's functions and of the attributes of its arrays. An error that refuses one
of them ends with its line here.
"""

_CONSTANT = "np.asarray(stop_gradient(x))"
_MEMORY = f"an Array has no memory to look at; of a constant, take {_CONSTANT}."
_UNCHANGED = "an Array cannot be changed in place; write "
_SAVED = "return it (has_aux=True) and save the numpy array that comes out"

_OF_MEMORY = "base byteswap() ctypes data flags getfield(...) setflags(...) strides tobytes()"
_OF_DATES = "busday_count busday_offset datetime_as_string is_busday isnat"
_OF_FILES = "dump dumps save savetxt savez savez_compressed tofile"

REMEDIES: dict[str, str] = {
    **{name.partition("(")[0]: _MEMORY + name for name in _OF_MEMORY.split()},
    **dict.fromkeys(_OF_DATES.split(), "an Array holds no dates"),
    **dict.fromkeys(_OF_FILES.split(), _SAVED),
    "copyto": _UNCHANGED + "x = where(mask, v, x)",
    "einsum_path": f"it looks at shapes alone; write np.einsum_path(subscripts, {_CONSTANT})",
    "fill": _UNCHANGED + "x = np.full(x.shape, v)",
    "fill_diagonal": _UNCHANGED + "x = at(x)[np.diag_indices(n)].set(v)",
    "histogram2d": f"counts are constant; write np.histogram2d({_CONSTANT}, ...), and sum weights by scatter_add",
    "histogramdd": f"counts are constant; write np.histogramdd({_CONSTANT}, ...), and sum weights by scatter_add",
    "linalg.eig": "its results are complex, and eigenvectors may be no basis; of a symmetric matrix take eigh",
    "linalg.eigvals": "its results are complex; of a symmetric matrix take eigvalsh",
    "partition": _UNCHANGED + "x = np.partition(x, k)",
    "place": _UNCHANGED + "x = at(x)[mask].set(v)",
    "put": _UNCHANGED + "x = at(x)[i].set(v)",
    "put_along_axis": _UNCHANGED + "x = at(x)[...].set(v) with an index on each axis, as np.ix_ makes them",
    "putmask": _UNCHANGED + "x = where(mask, v, x)",
    "real_if_close": "write np.real(x)",
    "resize": _UNCHANGED + "x = x.reshape(shape), or pad it",
    "roots": f"its results are complex; write np.roots({_CONSTANT}), and one step of Newton's method for a derivative",
    "setfield": _UNCHANGED + "x = where(mask, v, x)",
    "sort": _UNCHANGED + "x = np.sort(x)",
    "sort_complex": "its result is complex; write np.sort(x)",
    "view": _MEMORY + "view(...)" + ", and to convert it, x.astype(dtype)",
}
