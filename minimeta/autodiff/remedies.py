"""What to write in place of what numpy has and Arrays lack.

Names are those of numpy's functions and of the attributes of its arrays. An error that refuses one
of them ends with its line here.
"""

_CONSTANT = "np.asarray(stop_gradient(x))"
_MEMORY = f"an Array has no memory to look at; of a constant, take {_CONSTANT}.{{}}"
_UNCHANGED = "an Array cannot be changed in place; "
_SAVED = "return it (has_aux=True) and save the numpy array that comes out"
_DATES = "an Array holds no dates"

REMEDIES: dict[str, str] = {
    "base": _MEMORY.format("base"),
    "busday_count": _DATES,
    "busday_offset": _DATES,
    "byteswap": _MEMORY.format("byteswap()"),
    "copyto": _UNCHANGED + "write x = where(mask, v, x)",
    "ctypes": _MEMORY.format("ctypes"),
    "data": _MEMORY.format("data"),
    "datetime_as_string": _DATES,
    "dump": _SAVED,
    "dumps": _SAVED,
    "einsum_path": f"it looks at shapes alone; write np.einsum_path(subscripts, {_CONSTANT})",
    "fill": _UNCHANGED + "write x = np.full(x.shape, v)",
    "fill_diagonal": _UNCHANGED + "write x = at(x)[np.diag_indices(n)].set(v)",
    "flags": _MEMORY.format("flags"),
    "getfield": _MEMORY.format("getfield(...)"),
    "histogram2d": f"counts are constant; write np.histogram2d({_CONSTANT}, ...), and sum weights by scatter_add",
    "histogramdd": f"counts are constant; write np.histogramdd({_CONSTANT}, ...), and sum weights by scatter_add",
    "is_busday": _DATES,
    "isnat": _DATES,
    "linalg.eig": "its results are complex, and eigenvectors may be no basis; of a symmetric matrix take eigh",
    "linalg.eigvals": "its results are complex; of a symmetric matrix take eigvalsh",
    "partition": _UNCHANGED + "write x = np.partition(x, k)",
    "place": _UNCHANGED + "write x = at(x)[mask].set(v)",
    "put": _UNCHANGED + "write x = at(x)[i].set(v)",
    "put_along_axis": _UNCHANGED + "write x = at(x)[...].set(v) with an index on each axis, as np.ix_ makes them",
    "putmask": _UNCHANGED + "write x = where(mask, v, x)",
    "real_if_close": "write np.real(x)",
    "resize": _UNCHANGED + "write x = x.reshape(shape), or pad it",
    "roots": f"its results are complex; write np.roots({_CONSTANT}), and one step of Newton's method for a derivative",
    "save": _SAVED,
    "savetxt": _SAVED,
    "savez": _SAVED,
    "savez_compressed": _SAVED,
    "setfield": _UNCHANGED + "write x = where(mask, v, x)",
    "setflags": _MEMORY.format("setflags(...)"),
    "sort": _UNCHANGED + "write x = np.sort(x)",
    "sort_complex": "its result is complex; write np.sort(x)",
    "strides": _MEMORY.format("strides"),
    "tobytes": _MEMORY.format("tobytes()"),
    "tofile": _SAVED,
    "view": _MEMORY.format("view(...)") + ", and to convert it, x.astype(dtype)",
}
