"""Licences, as pip and the Hub write them."""

from __future__ import annotations

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from mmft_core.errors import ConfigError

_OWN = "LicenseRef-"


def spdx(licence: str) -> str:
    """A licence as SPDX has it: "apache-2.0" becomes "Apache-2.0"; empty stays empty.

    Raises:
        ConfigError: it is not an SPDX expression.
    """
    if not licence:
        return ""
    try:
        return str(canonicalize_license_expression(licence))
    except InvalidLicenseExpression:
        raise ConfigError(
            f"--licence '{licence}' is not an SPDX expression.",
            hint=f"For example: apache-2.0, mit, cc-by-4.0, or {_OWN}NAME for one of your own.",
        ) from None


def metadata(licence: str) -> dict[str, str]:
    """A licence, as SPDX has it, in the metadata that the Hub reads.

    The Hub knows single licences by their SPDX ids in lower case, and takes a name for others.
    """
    if not licence:
        return {"license": "unknown"}
    if licence.startswith(_OWN) or " " in licence:
        return {"license": "other", "license_name": licence.removeprefix(_OWN).lower()}
    return {"license": licence.lower()}
