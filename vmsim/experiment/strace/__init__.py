"""Replaying strace logs: each process's memory calls are carried out by the simulator and every result is compared."""
