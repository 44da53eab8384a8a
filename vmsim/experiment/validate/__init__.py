"""Replaying whole-system recordings of real kernels: the recorded machine, the recorded program, and how far the counts are apart."""
