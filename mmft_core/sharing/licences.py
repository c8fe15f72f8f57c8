"""Licences, as pip and the Hub write them."""

from __future__ import annotations

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from mmft_core.errors import ConfigError


def spdx(licence: str) -> str:
    """A licence as SPDX has it: "apache-2.0" becomes "Apache-2.0".

    Raises:
        ConfigError: it is none of SPDX's.
    """
    try:
        return str(canonicalize_license_expression(licence))
    except InvalidLicenseExpression:
        raise ConfigError(
            f"--licence '{licence}' is no SPDX expression.",
            hint="For example: apache-2.0, mit, cc-by-4.0, or LicenseRef-NAME for one of your own.",
        ) from None
