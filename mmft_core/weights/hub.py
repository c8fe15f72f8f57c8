"""The Hugging Face Hub: uploading and downloading published folders."""

from __future__ import annotations

from pathlib import Path

from mmft_core.errors import ConfigError, HubError, WeightsError, first_line

_MODEL = "model.json"
_FILES = [_MODEL, "model.safetensors", "config.toml", "assets/**", "adapter/**"]


def check_id(repo: str) -> None:
    """Check that a repository can have this id.

    Raises:
        ConfigError: it cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
        if repo.count("/") != 1:
            raise HFValidationError("it does not say whose it is")
    except HFValidationError:
        raise ConfigError(
            f"--repo '{repo}' is not a valid Hub id.",
            hint="Give USER/NAME, of letters, digits, '.', '-' and '_'.",
        ) from None


def check_access() -> str:
    """Find out in seconds whether anything can be pushed from here, and return the token.

    Raises:
        HubError: there is no token, or the Hub does not answer.
    """
    from huggingface_hub import constants, get_token

    from mmft_core.weights.http import ensure_reachable

    token = get_token()
    if token is None:
        raise HubError(
            "There is no token for the Hub on this machine.",
            hint="Log in with `hf auth login`, or set HF_TOKEN.",
        )
    if constants.is_offline_mode():
        raise HubError("HF_HUB_OFFLINE is set, so nothing is pushed.", hint="Unset it.")
    try:
        ensure_reachable(f"{constants.ENDPOINT}/api/whoami-v2")
    except WeightsError as error:
        raise HubError(
            error.message, hint="Without --push the folder is still made, and can be pushed later."
        ) from None
    return token


def download(repo: str) -> Path | None:
    """The folder of a model that mmft published, from the cache or the Hub.

    Returns:
        None if what is there under that id is something else.

    Raises:
        WeightsError: it is not in the cache and cannot be downloaded.
    """
    from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    from mmft_core.weights.http import is_there

    known = {f: try_to_load_from_cache(repo, f) for f in ("config.json", _MODEL)}
    cached = isinstance(known[_MODEL], str)
    if isinstance(known["config.json"], str) and not cached:
        return None  # A network of transformers.
    if not cached and constants.is_offline_mode():
        raise WeightsError(
            f"There is nothing at {repo}, and HF_HUB_OFFLINE is set, so it is not looked for on "
            "the Hub.",
            hint="Check the path, or unset HF_HUB_OFFLINE.",
        )
    if not cached and not is_there(f"{constants.ENDPOINT}/{repo}/resolve/main/{_MODEL}"):
        return None
    try:
        return Path(snapshot_download(repo, allow_patterns=_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise WeightsError(f"{repo} cannot be downloaded: {first_line(error)}.") from None


def push(folder: Path, repo: str, token: str, *, private: bool, update: bool) -> str:
    """Push a folder, and return the address that it then has.

    Args:
        update: whether the repository may be there already.

    Raises:
        HubError: the Hub refuses.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    # Of whichever HTTP library it uses; its versions differ.
    from huggingface_hub.errors import HTTPError as NoAnswer  # type: ignore[attr-defined]

    api = HfApi(endpoint=constants.ENDPOINT, token=token)
    try:
        address = api.create_repo(repo, private=private, exist_ok=update)
        api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message="A model fine-tuned with mmft"
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 409 and not update:
            raise HubError(
                f"The repository {repo} already exists on the Hub.",
                hint="Give another --repo, or --update to push a new version into it.",
            ) from None
        told = error.server_message or first_line(error)
        hint = "Does the token have write access?" if status in (401, 403) else None
        raise HubError(
            f"The Hub refuses to take {repo} ({status}): {told.rstrip('.')}.", hint=hint
        ) from None
    except (NoAnswer, OSError, ValueError) as error:
        raise HubError(
            f"{repo} could not be pushed: {first_line(error)}.",
            hint=f"The folder is in {folder}; with --update it can be pushed again.",
        ) from None
    return str(address)
