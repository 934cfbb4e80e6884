"""What to write in place of what numpy has and Arrays lack.

Names are those of numpy's functions and of the attributes of its arrays. An error that refuses one
of them ends with its line here.
"""

_CONSTANT = "np.asarray(stop_gradient(x))"
_MEMORY = f"an Array has no memory to look at; of a constant, take {_CONSTANT}.{{}}"
_UNCHANGED = "an Array cannot be changed in place; "

REMEDIES: dict[str, str] = {
    "base": _MEMORY.format("base"),
    "byteswap": _MEMORY.format("byteswap()"),
    "ctypes": _MEMORY.format("ctypes"),
    "data": _MEMORY.format("data"),
    "dump": "return it (has_aux=True) and save the numpy array that comes out",
    "dumps": "return it (has_aux=True) and save the numpy array that comes out",
    "fill": _UNCHANGED + "write x = np.full(x.shape, v)",
    "flags": _MEMORY.format("flags"),
    "getfield": _MEMORY.format("getfield(...)"),
    "partition": _UNCHANGED + "write x = np.partition(x, k)",
    "put": _UNCHANGED + "write x = where(mask, v, x), or scatter_add(x, indices, v)",
    "resize": _UNCHANGED + "write x = x.reshape(shape), or pad it",
    "setfield": _UNCHANGED + "write x = where(mask, v, x)",
    "setflags": _MEMORY.format("setflags(...)"),
    "sort": _UNCHANGED + "write x = np.sort(x)",
    "strides": _MEMORY.format("strides"),
    "tobytes": _MEMORY.format("tobytes()"),
    "tofile": "return it (has_aux=True) and save the numpy array that comes out",
    "view": _MEMORY.format("view(...)") + ", and to convert it, x.astype(dtype)",
}
