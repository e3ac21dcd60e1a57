"""Health: what this process uses."""

import os

from runwright.watch.health import Health


def test_a_process_knows_what_it_uses() -> None:
    """Memory, processor time and age are measured and plausible."""
    health = Health()
    first, second = health.measure(), health.measure()
    assert first.pid == os.getpid()
    assert 1024 * 1024 < first.memory_bytes <= 2 * first.peak_memory_bytes
    assert first.cpu_s > 0
    assert second.uptime_s >= first.uptime_s >= 0
