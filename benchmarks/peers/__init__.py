"""The workloads in other libraries, each at its best; a module imports its library and nothing of minimeta."""
