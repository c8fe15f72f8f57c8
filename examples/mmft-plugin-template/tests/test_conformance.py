"""Whether the plugin's components keep mmft's contract."""

import pytest

from mmft_core.testing import plugin_checks


@pytest.mark.parametrize("check", plugin_checks("mmft_template", prefer=["tiny-cnn"]))
def test_conformance(check):
    check()
