"""mlock2 and MCL_ONFAULT came with 4.4 (section J)."""

from __future__ import annotations

import pytest
from shell import Shell

ENOSYS, EINVAL = 38, 22
PAGE = 4096


@pytest.mark.parametrize(("version", "mlock2", "mcl_onfault"), [("4.3", -ENOSYS, -EINVAL), ("4.4", 0, 0), ("6.18", 0, 0)])
def test_by_version(version: str, mlock2: int, mcl_onfault: int) -> None:
    shell = Shell(version=version)
    address = shell.call("mmap", 0, PAGE, 3, 0x22, -1, 0)
    assert shell.call("mlock2", address, PAGE, 1) == mlock2
    assert shell.call("mlock2", address, PAGE, 2) == (-ENOSYS if version == "4.3" else -EINVAL)
    assert shell.call("mlock", address, PAGE) == 0
    assert shell.call("mlockall", 2 | 4) == mcl_onfault


@pytest.mark.parametrize(("version", "result"), [("4.4", 0), ("6.1", -EINVAL)])
def test_onfault_alone(version: str, result: int) -> None:
    """Quirk 2: mlockall(MCL_ONFAULT) alone unlocks everything and succeeds in 4.4; later it is EINVAL."""
    shell = Shell(version=version)
    address = shell.call("mmap", 0, PAGE, 3, 0x22, -1, 0)
    shell.call("mlock", address, PAGE)
    assert shell.call("mlockall", 4) == result
    assert shell.vmstat("nr_mlock") == (1 if result else 0)
