"""Logs of strace, as programs' calls: lines, arguments, and calls whose line was cut by another process's."""
