"""Traces that programs carry out: how far each has come, beside its buffer of accesses (vpn << 1 | write)."""

# Columns of `stream`; row 0 is no trace.
ST_POS = 0  # next access in the buffer
ST_LENGTH = 1  # accesses in the buffer
ST_STATE = 2  # STREAM_*
ST_USERS = 3  # tasks that are in it
STREAM_COLUMNS = 4

STREAM_OPEN = 0
STREAM_ENDED = 1  # nothing comes after what the buffer holds
STREAM_AGAIN = 2  # it is to be read from its start

STREAM_BUFFER = 1 << 15  # accesses
