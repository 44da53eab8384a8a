"""prctl(2), as far as it concerns memory.   Follows kernel/sys.c of v4.4."""

from vmsim.struct.errno import EINVAL
from vmsim.struct.jit import compiled
from vmsim.struct.rules import R_NOHUGEPAGE_FLAG
from vmsim.struct.tasks import T_MM
from vmsim.struct.vmas import MM_DEF_FLAGS, MM_FLAGS, MMF_DISABLE_THP, VM_NOHUGEPAGE

PR_SET_THP_DISABLE = 41
PR_GET_THP_DISABLE = 42


@compiled
def _thp_disabled(k, mm):
    if k.rule[R_NOHUGEPAGE_FLAG] != 0:
        return 1 if k.mm[mm, MM_DEF_FLAGS] & VM_NOHUGEPAGE != 0 else 0
    return 1 if k.mm[mm, MM_FLAGS] & MMF_DISABLE_THP != 0 else 0


@compiled
def sys_prctl(k, tid, option, arg2, arg3, arg4, arg5):
    """prctl(2): PR_SET_THP_DISABLE and PR_GET_THP_DISABLE; any other option is EINVAL.

    Until 4.13 the setting was a flag of every VMA that is made from then on. Model: 6.18's exception for
    MADV_HUGEPAGE isn't known.
    """
    mm = k.task[tid, T_MM]
    if option == PR_GET_THP_DISABLE:
        return -EINVAL if arg2 != 0 or arg3 != 0 or arg4 != 0 or arg5 != 0 else _thp_disabled(k, mm)
    if option != PR_SET_THP_DISABLE or arg3 != 0 or arg4 != 0 or arg5 != 0:
        return -EINVAL
    if k.rule[R_NOHUGEPAGE_FLAG] != 0:
        k.mm[mm, MM_DEF_FLAGS] = k.mm[mm, MM_DEF_FLAGS] & ~VM_NOHUGEPAGE | (VM_NOHUGEPAGE if arg2 != 0 else 0)
    else:
        k.mm[mm, MM_FLAGS] = k.mm[mm, MM_FLAGS] & ~MMF_DISABLE_THP | (MMF_DISABLE_THP if arg2 != 0 else 0)
    return 0
