"""Putting an export on the Hub, with a token from the environment."""

from __future__ import annotations

from pathlib import Path

from videojam.errors import VideoJamError
from videojam.misfits import reason


def require_hub(repo: str) -> None:
    """Refuse, before any work, a name that the Hub doesn't take, no token, and a Hub that can't be reached.

    Args:
        repo: OWNER/NAME.

    Raises:
        VideoJamError: says which.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
        fits = repo.count("/") == 1
    except HFValidationError:
        fits = False
    if not fits:
        raise VideoJamError(
            expected="OWNER/NAME of a model on the Hub: letters, digits, -, _ and . in each part",
            found=repr(repo),
            where="push",
            fix="Correct the name.",
        )
    if get_token() is None:
        raise VideoJamError(
            expected="a token of the Hub that may write, in the environment variable HF_TOKEN",
            found="none, and no login stored by `hf auth login`",
            where="push",
            fix="Set HF_TOKEN, or export without push: the folder can be uploaded later.",
        )
    try:
        HfApi().whoami()
    except Exception as error:  # the client raises many kinds: offline, no network, bad token
        raise _refused(repo, error, "Check the network and the token, or export without push.") from None


def push(folder: Path, repo: str, *, private: bool) -> str:
    """Upload an export, and return its address.

    Args:
        folder: The export.
        repo: OWNER/NAME; made where there is none.
        private: Whether a repository that is made is private.

    Raises:
        VideoJamError: the Hub refused, or the network broke off; the folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repo, commit_message="Upload a videojam model")
    except Exception as error:
        raise _refused(
            repo, error, f"The export is whole; upload it with: hf upload {repo} {folder}"
        ) from None
    return str(address)


def _refused(repo: str, error: Exception, fix: str) -> VideoJamError:
    return VideoJamError(
        expected="the Hub to answer and to accept the token",
        found=f"{type(error).__name__}: {reason(error)}",
        where=f"push to {repo}",
        fix=fix,
    )
