"""Replaying recordings of real kernels, call by call, and comparing what the simulator answers."""
