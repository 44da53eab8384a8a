"""The bound on the size of one access, the same for all formats whose addresses are bytes."""

LARGEST_REQUEST = 16 << 20
"""Bytes of one access or block request. Model: larger ones are taken for damage; it bounds the pages that one record
can touch."""
