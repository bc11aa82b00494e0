"""A guest's memory and cores are limited to those of the host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccvm_tui.machine.limits import Host, clamp

LAPTOP = Host(memory_mib=16000, available_mib=9000, cores=8)


def test_resources_that_the_host_has_are_not_limited() -> None:
    limited = clamp(4096, 4, LAPTOP)
    assert (limited.memory_mib, limited.cores, limited.warnings) == (4096, 4, ())


def test_a_warning_reports_each_limit() -> None:
    limited = clamp(32000, 16, LAPTOP)
    assert (limited.memory_mib, limited.cores) == (14000, 8)
    memory, free, cores = limited.warnings
    assert "14000 MiB instead of 32000" in memory
    assert "9000 MiB free" in free
    assert "8 instead of 16" in cores


@given(st.integers(1, 1 << 22), st.integers(1, 512), st.integers(512, 1 << 22), st.integers(1, 512))
def test_limits_never_exceed_the_request_and_are_never_zero(memory: int, cores: int, has: int, has_cores: int) -> None:
    limited = clamp(memory, cores, Host(has, has, has_cores))
    assert 1 <= limited.memory_mib <= min(memory, has)
    assert 1 <= limited.cores <= min(cores, has_cores)
    assert bool(limited.warnings) == ((limited.memory_mib, limited.cores) != (memory, cores))


def test_the_resources_of_this_host_are_plausible() -> None:
    here = Host.here()
    assert 0 < here.available_mib <= here.memory_mib
    assert here.cores >= 1


@pytest.mark.parametrize("has", [256, 400, 600])
def test_a_tiny_host_still_gives_256_mib(has: int) -> None:
    assert clamp(4096, 1, Host(has, has, 1)).memory_mib == 256
