"""The Chromium of this machine."""

from __future__ import annotations

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")


def program() -> str:
    """Return the path of the browser; skip where there is none, or fail where the environment requires one."""
    path = next((there for name in NAMES if (there := shutil.which(name))), None)
    if path is not None:
        return path
    if os.environ.get("GROKLAB_REQUIRE_BROWSER") == "1":
        pytest.fail("GROKLAB_REQUIRE_BROWSER=1, but there is no Chromium on the path")
    pytest.skip("there is no Chromium on the path")
