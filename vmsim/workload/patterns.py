"""Access patterns: which pages a program touches, in which order, reading or writing.

Every pattern draws from a xorshift64 generator (Marsaglia 2003: shifts 13, 7, 17), by default one seeded from the run's stream of that
name, or one with a given state, so that the sequence of a real C program can be repeated.  Probabilities are compared as integers,
in units of 2**-53, which is what ``(next() >> 11) * 2**-53`` compares in floating point.
"""

from vmsim.struct.bits import unsigned_mod, wrapping_mul
from vmsim.struct.files import (
    PAT_DEGREE,
    PAT_HASH,
    PAT_HASH_ON,
    PAT_HOT_PAGES,
    PAT_HOT_U53,
    PAT_LOCAL_U53,
    PAT_MODULO,
    PAT_NODE,
    PAT_PAGES,
    PAT_POS,
    PAT_RESTART_U53,
    PAT_STATE,
    PAT_STRIDE,
    PAT_TABLE,
    PAT_TABLE_LEN,
    PAT_TYPE,
    PAT_WRITE_U53,
    PATTERN_GRAPH,
    PATTERN_HOTCOLD,
    PATTERN_SEQUENTIAL,
    PATTERN_STRIDE,
    PATTERN_UNIFORM,
    PATTERN_ZIPF,
)
from vmsim.struct.jit import compiled, entry
from vmsim.workload.generator import draw_uniform, scaled, xorshift64

ONE_U53 = 1 << 53
FNV_OFFSET = -3750763034362895579  # 14695981039346656037 as a signed number
FNV_PRIME = 1099511628211
_LOW32 = (1 << 32) - 1
_LOW53 = (1 << 53) - 1
_NEAR = 64  # pages either side that a local edge of the graph reaches


@compiled
def _u53(x):
    return (x >> 11) & _LOW53


@compiled
def below(x, n, modulo):
    """A number in [0, n) from the draw x: by modulo, or by the high half times n (n < 2**31)."""
    if modulo != 0 or n >= 1 << 31:
        return unsigned_mod(x, n)
    return scaled(x, n)


@compiled
def _rank(table, first, length, u):
    """The first rank whose cumulative probability is >= u."""
    low = 0
    high = length - 1
    while low < high:
        middle = (low + high) // 2
        if table[first + middle] < u:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _neighbour(node, edge, pages, local):
    """Where an edge of the implicit random graph leads: near by if `local`, else to a page that a hash of the edge picks."""
    h = wrapping_mul(node * 64 + edge + 1, -7046029254386353131)
    h ^= (h >> 29) & ((1 << 35) - 1)
    h = wrapping_mul(h, -4658895280553007687)
    h ^= (h >> 32) & _LOW32
    if local != 0:
        to = node + unsigned_mod(h, 2 * _NEAR + 1) - _NEAR
        return min(max(to, 0), pages - 1)
    return unsigned_mod(h, pages)


@compiled
def draw_accesses(k, pat, base, out, first, count):
    """Draw `count` accesses of a pattern over the region that begins at page `base` into out[first:], each vpn << 1 | write."""
    p = k.pattern[pat]
    kind = p[PAT_TYPE]
    pages = p[PAT_PAGES]
    x = p[PAT_STATE]
    pos = p[PAT_POS]
    modulo = p[PAT_MODULO]
    write_u53 = p[PAT_WRITE_U53]
    hashing = p[PAT_HASH_ON]
    plain = kind == PATTERN_UNIFORM and modulo + hashing == 0 and pages < 1 << 31
    if plain and (write_u53 == 0 or write_u53 == ONE_U53):
        write = 1 if write_u53 == ONE_U53 else 0
        p[PAT_STATE] = draw_uniform(x, pages, base << 1 | write, out, first, count)
        p[PAT_POS] = pos + count
        return
    for i in range(count):
        write = 1 if write_u53 == ONE_U53 else 0
        if kind == PATTERN_UNIFORM:
            x = xorshift64(x)
            page = below(x, pages, modulo)
        elif kind == PATTERN_SEQUENTIAL:
            page = pos % pages
        elif kind == PATTERN_STRIDE:
            page = pos * p[PAT_STRIDE] % pages
        elif kind == PATTERN_HOTCOLD:
            x = xorshift64(x)
            hot = _u53(x) < p[PAT_HOT_U53]
            x = xorshift64(x)
            if hot:
                page = below(x, p[PAT_HOT_PAGES], modulo)
            else:
                page = p[PAT_HOT_PAGES] + below(x, pages - p[PAT_HOT_PAGES], modulo)
        elif kind == PATTERN_ZIPF:
            x = xorshift64(x)
            page = k.pattern_table[p[PAT_TABLE] + pages + _rank(k.pattern_table, p[PAT_TABLE], pages, _u53(x))]
        elif kind == PATTERN_GRAPH:
            x = xorshift64(x)
            if _u53(x) < p[PAT_RESTART_U53]:
                x = xorshift64(x)
                p[PAT_NODE] = below(x, pages, modulo)
            else:
                x = xorshift64(x)
                edge = below(x, p[PAT_DEGREE], modulo)
                x = xorshift64(x)
                p[PAT_NODE] = _neighbour(p[PAT_NODE], edge, pages, 1 if _u53(x) < p[PAT_LOCAL_U53] else 0)
            page = p[PAT_NODE]
        else:
            page = k.pattern_table[p[PAT_TABLE] + pos % p[PAT_TABLE_LEN]]
            if write_u53 == -1:
                write = page & 1
            page >>= 1
        if 0 < write_u53 < ONE_U53:
            x = xorshift64(x)
            write = 1 if _u53(x) < write_u53 else 0
        pos += 1
        if hashing != 0:
            p[PAT_HASH] = wrapping_mul(p[PAT_HASH] ^ (2 * page + write), FNV_PRIME)
        out[first + i] = (base + page) << 1 | write
    p[PAT_STATE] = x
    p[PAT_POS] = pos


@entry
def zipf_permutation(k, pat):
    """Which page each rank of a zipf pattern is: shuffled with the pattern's own generator, from the last down (Fisher-Yates)."""
    table = k.pattern_table
    pages = k.pattern[pat, PAT_PAGES]
    first = k.pattern[pat, PAT_TABLE] + pages
    x = k.pattern[pat, PAT_STATE]
    for i in range(pages):
        table[first + i] = i
    for i in range(pages - 1, 0, -1):
        x = xorshift64(x)
        j = below(x, i + 1, k.pattern[pat, PAT_MODULO])
        table[first + i], table[first + j] = table[first + j], table[first + i]
    k.pattern[pat, PAT_STATE] = x
    return x
