"""Whether the plugin's components keep mmft's contract."""

import pytest
from mmft_testing import plugin_checks

CHECKS = plugin_checks(
    "mmft_timm",
    settings={"backbone.image_size": 64},  # What keeps the checks fast.
)


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check):
    check()
