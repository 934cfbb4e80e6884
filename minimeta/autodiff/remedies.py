"""What to write in place of what numpy has and Arrays lack.

Names are those of numpy's functions and of the attributes of its arrays. An error that refuses one
of them ends with its line here.
"""

_CONSTANT = "np.asarray(stop_gradient(x))"
_MEMORY = f"an Array has no memory to look at; of a constant, take {_CONSTANT}.{{}}"
_UNCHANGED = "an Array cannot be changed in place; "

REMEDIES: dict[str, str] = {
    "all": "write np.sum(mask.astype(np.float64)) == mask.size",
    "any": "write np.sum(mask.astype(np.float64)) > 0",
    "argmin": "write np.argmax(-x, axis)",
    "argpartition": f"order is constant; write np.argpartition({_CONSTANT}, k), and take elements by it",
    "argsort": f"order is constant; write np.argsort({_CONSTANT}), and take elements by it",
    "base": _MEMORY.format("base"),
    "byteswap": _MEMORY.format("byteswap()"),
    "choose": "write where(condition, a, b), or np.stack(choices)[x, np.arange(n)]",
    "ctypes": _MEMORY.format("ctypes"),
    "cumprod": "write a Python loop of products, and stack them",
    "cumsum": "write x @ np.triu(np.ones((n, n))), or a Python loop of sums, and stack them",
    "data": _MEMORY.format("data"),
    "dump": "return it (has_aux=True) and save the numpy array that comes out",
    "dumps": "return it (has_aux=True) and save the numpy array that comes out",
    "fill": _UNCHANGED + "write x = np.full(x.shape, v)",
    "flags": _MEMORY.format("flags"),
    "getfield": _MEMORY.format("getfield(...)"),
    "nonzero": f"which elements are zero is constant; write np.nonzero({_CONSTANT}), or where(x != 0, ..., ...)",
    "partition": _UNCHANGED + f"write x = np.take(x, np.argpartition({_CONSTANT}, k))",
    "prod": "write np.exp(np.sum(np.log(x))) where all are positive, or a Python loop of products",
    "put": _UNCHANGED + "write x = where(mask, v, x), or scatter_add(x, indices, v)",
    "resize": _UNCHANGED + "write x = x.reshape(shape), or pad it",
    "round": f"its derivative is 0; write np.round({_CONSTANT}), and f'{{x:.3f}}' to print",
    "searchsorted": f"positions are constant; write np.searchsorted({_CONSTANT}, v)",
    "setfield": _UNCHANGED + "write x = where(mask, v, x)",
    "setflags": _MEMORY.format("setflags(...)"),
    "sort": f"write np.take_along_axis(x, np.argsort({_CONSTANT}, axis), axis)",
    "std": "write np.sqrt(np.var(x, axis))",
    "strides": _MEMORY.format("strides"),
    "to_device": "every Array is on the CPU",
    "tobytes": _MEMORY.format("tobytes()"),
    "tofile": "return it (has_aux=True) and save the numpy array that comes out",
    "view": _MEMORY.format("view(...)") + ", and to convert it, x.astype(dtype)",
}
