"""The names of the rules in which kernel versions differ, in the order of `rule`; what each says stands in vmsim/arch/rules.py."""

RULE_NAMES = (
    "mlock2",
    "onfault_alone",
    "mlock_overlap_counts",
    "relock_counts_twice",
    "onfault_walks_pages",
    "madv_free",
    "stack_guard_inside",
    "nohugepage_flag",
    "mremap_many",
    "mremap_old_len_zero_private",
    "mmap_splits_before_limits",
    "mmap_offset_limit",
    "mlock_is_page_cache",
    "retry_is_major",
    "rlimit_data_private",
)


def _index(name: str) -> int:
    return RULE_NAMES.index(name)


R_MLOCK2 = _index("mlock2")
R_ONFAULT_ALONE = _index("onfault_alone")
R_MLOCK_OVERLAP_COUNTS = _index("mlock_overlap_counts")
R_RELOCK_COUNTS_TWICE = _index("relock_counts_twice")
R_ONFAULT_WALKS_PAGES = _index("onfault_walks_pages")
R_MADV_FREE = _index("madv_free")
R_STACK_GUARD_INSIDE = _index("stack_guard_inside")
R_NOHUGEPAGE_FLAG = _index("nohugepage_flag")
R_MREMAP_MANY = _index("mremap_many")
R_MREMAP_OLD_LEN_ZERO_PRIVATE = _index("mremap_old_len_zero_private")
R_MMAP_SPLITS_BEFORE_LIMITS = _index("mmap_splits_before_limits")
R_MMAP_OFFSET_LIMIT = _index("mmap_offset_limit")
R_MLOCK_IS_PAGE_CACHE = _index("mlock_is_page_cache")
R_RETRY_IS_MAJOR = _index("retry_is_major")
R_RLIMIT_DATA_PRIVATE = _index("rlimit_data_private")
