"""Traces that programs carry out: how far each has come, beside its buffer of accesses (vpn << 1 | write) or of a log's rows."""

# Columns of `stream`; row 0 is no trace.
ST_POS = 0  # next number in the buffer
ST_LENGTH = 1  # numbers in the buffer
ST_STATE = 2  # STREAM_*
ST_USERS = 3  # tasks that are in it
ST_CALLS = 4  # of a log: calls carried out, those answered otherwise than in the log, and rows of tasks that are no more
ST_DIFFER = 5
ST_LOST = 6
STREAM_COLUMNS = 8

STREAM_OPEN = 0
STREAM_ENDED = 1  # nothing comes after what the buffer holds
STREAM_AGAIN = 2  # it is to be read from its start

STREAM_BUFFER = 1 << 15  # accesses

# Columns of a row of a log; a task's number in the log is not its tid, and the log's first task is 1.
ROW_TASK = 0
ROW_KIND = 1  # SYS_*, or one of the ROW_* below
ROW_ARG = 2  # six arguments
ROW_EXPECTED = 8  # the answer in the log
ROW_PLACE = 9  # the page at which the kernel put a mapping, 0: the call says where
ROW_COLUMNS = 10

ROW_MAP = -1  # memory that no call of the log maps: first page, pages, VM_* flags
ROW_COPY = -2  # a child with a copy of the memory: its number
ROW_SHARE = -3  # a child with the same memory: its number, whether it is a thread
ROW_EXEC = -4  # a new, empty address space
ROW_END = -5
ROW_RESIZE = -6  # a file gets longer: file, bytes
ROW_HEAP = -7  # where the heap begins (-1: as before) and ends, in bytes
ROW_LIMIT = -8  # resource, soft, hard
ROW_CAPS = -9  # which of its capabilities the task keeps
