"""The limit on open files."""

import pytest

from malaria_detect.app.server.start import allow_open_files

resource = pytest.importorskip("resource", reason="this system has no such limits")


def test_the_limit_on_open_files_is_raised_as_far_as_allowed_and_never_lowered() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        allow_open_files(512)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(512, before[1])
        allow_open_files(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(512, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
