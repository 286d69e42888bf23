"""Which client serves a URL of a server, and the same options for either.

obstore where it is installed and understands all that was given, since it costs a thirtieth of the processor time; else fsspec.
Google goes through fsspec unless obstore is asked for: no server to test the other with can be had.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from ndzarr.errors import ArgumentError
from ndzarr.stores.base import Store

#: Schemes that obstore serves unasked.
_OBSTORE = frozenset({"s3", "s3a", "az", "abfs", "abfss", "http", "https"})
_S3 = frozenset({"s3", "s3a"})
#: fsspec's name of an option -> obstore's, where they mean the same.
_SAME = {
    "key": "access_key_id",
    "secret": "secret_access_key",
    "token": "session_token",
    "endpoint_url": "endpoint",
    "anon": "skip_signature",
}
_OURS = frozenset({"readonly", "conditional", "concurrency"})
#: What obstore takes, as far as it has another meaning, or none, for fsspec.
_KNOWN = frozenset(
    "access_key_id secret_access_key session_token endpoint region skip_signature virtual_hosted_style_request request_payer "
    "unsigned_payload account_name account_key sas_key sas_token client_id client_secret tenant_id use_emulator bearer_token "
    "client_options retry_config credential_provider config".split()
)


def remote(url: str, *, storage: str = "auto", **options: Any) -> Store:
    """The store for `url` by the client that `storage` names: "fsspec", "obstore", or "auto".

    `options` may have the names of either client where they mean the same (`key` and `access_key_id`, `endpoint_url` and
    `endpoint`, `anon` and `skip_signature`, `region`). Raises ArgumentError for a scheme that nobody knows, and for one whose
    package is not installed.
    """
    if storage not in ("auto", "fsspec", "obstore"):
        raise ArgumentError(f"storage is {storage!r}, expected 'auto', 'fsspec' or 'obstore'", field="storage", found=storage)
    scheme = url.partition("://")[0]
    translated = _for_obstore(scheme, options)
    if storage == "obstore" or (storage == "auto" and scheme in _OBSTORE and _suits(scheme, translated)):
        from ndzarr.stores.objectstore import ObjectStore

        return ObjectStore(url, **translated)
    from ndzarr.stores.fsspec import FsspecStore

    return FsspecStore(url, **_for_fsspec(scheme, options))


def known(url: str) -> bool:
    """Whether fsspec has a file system for the scheme of `url`, installed or not; of a chain, for the first."""
    from fsspec.registry import known_implementations, registry

    scheme = url.partition("://")[0].partition("::")[0]
    return scheme in known_implementations or scheme in registry


def _suits(scheme: str, options: Mapping[str, Any]) -> bool:
    """Whether obstore is here, takes all of `options`, and finds the credentials that the other clients would."""
    if find_spec("obstore") is None or set(options) - _KNOWN - _OURS:
        return False
    given = {"access_key_id", "skip_signature", "credential_provider", "config"} & set(options)
    if scheme in _S3 and not given and "AWS_ACCESS_KEY_ID" not in os.environ:
        # It looks in the environment and asks the machine, but reads no profiles.
        files = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config")
        profiles = "AWS_PROFILE" in os.environ or any(
            os.path.exists(os.path.expanduser(os.environ.get(name, path))) for name, path in files
        )
        return not profiles or find_spec("s3fs") is None
    if scheme not in _S3 and "AZURE_STORAGE_CONNECTION_STRING" in os.environ:
        return scheme.startswith("http") or "account_name" in options
    return True


def _for_obstore(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == "client_kwargs" and scheme in _S3 and isinstance(value, Mapping) and not set(value) - _CLIENT.keys():
            found.update({_CLIENT[inner]: given for inner, given in value.items()})
        elif scheme in _S3 or name == "anon":
            found[_SAME.get(name, name)] = value
        else:
            found[name] = value
    return found


_CLIENT = {"region_name": "region", "endpoint_url": "endpoint"}


def _for_fsspec(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    back = {theirs: ours for ours, theirs in _SAME.items()}
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name in ("conditional", "concurrency"):
            continue  # of the other client alone
        if scheme in _S3 and name == "region":
            found["client_kwargs"] = {
                **found.get("client_kwargs", {}),
                **options.get("client_kwargs", {}),
                "region_name": value,
            }
        elif name == "client_kwargs":
            found["client_kwargs"] = {**value, **found.get("client_kwargs", {})}
        elif scheme in _S3 or name == "skip_signature":
            found[back.get(name, name)] = value
        else:
            found[name] = value
    return found
