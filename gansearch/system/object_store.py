"""Paths in an object store, such as `s3://bucket/runs`, with the `pathlib` methods a run needs.

`parse_path` decides whether text names a local path or an object. Writing an object is atomic, like
renaming a file. There are no folders: they are common prefixes of keys. Credentials come from the
environment; a path never holds any.
"""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pyarrow import fs

from gansearch.errors import BadInputError
from gansearch.system.paths import local_path

# A store that doesn't answer gives an error within a minute or two, not a hang.
_CONNECT_SECONDS = 10.0
_REQUEST_SECONDS = 60.0
_ATTEMPTS = 3
STORE_REMEDY = (
    "Check that the bucket exists, that the credentials in the environment may read and write it, "
    "and that the network reaches it."
)
_SCHEMES = ("s3", "gs")
_OPTIONS = ("endpoint_override", "scheme", "region")


@dataclass(frozen=True)
class _Stat:
    st_mtime: float


@dataclass(frozen=True)
class RemotePath:
    """A path in an object store. Its text form is the URI that the user wrote.

    Attributes:
        scheme: of the store: s3 or gs.
        key: bucket and path, without slashes at the ends.
        query: options of the store, such as `endpoint_override=host:port&scheme=http`.

    Methods do what those of `pathlib.Path` do, and raise `OSError` as they do.
    """

    scheme: str
    key: str
    query: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}{'?' if self.query else ''}{self.query}"

    def __truediv__(self, name: str | Path) -> RemotePath:
        return RemotePath(self.scheme, f"{self.key}/{name}", self.query)

    def __lt__(self, other: RemotePath) -> bool:
        return self.key < other.key

    @property
    def name(self) -> str:
        """The last component of the key."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The last component without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def parent(self) -> RemotePath:
        """The path above; a bucket is its own parent."""
        parent = self.key.rpartition("/")[0] or self.key
        return RemotePath(self.scheme, parent, self.query)

    @property
    def store(self) -> fs.FileSystem:
        """Arrow's connection to the store."""
        return _store(self.scheme, self.key.partition("/")[0], self.query)

    def with_name(self, name: str) -> RemotePath:
        """Return the path with the last component replaced."""
        return self.parent / name

    def resolve(self) -> RemotePath:
        """Return itself: it is always absolute."""
        return self

    def exists(self) -> bool:
        """Whether there is an object at this path, or below it."""
        return bool(self._info().type != fs.FileType.NotFound)

    def is_file(self) -> bool:
        """Whether there is an object at this path."""
        return bool(self._info().type == fs.FileType.File)

    def is_dir(self) -> bool:
        """Whether there are objects below this path."""
        return bool(self._info().type == fs.FileType.Directory)

    def stat(self) -> _Stat:
        """Return the modification time, in seconds since the epoch; 0 if unknown."""
        return _Stat((self._info().mtime_ns or 0) / 1e9)

    def rmdir(self) -> None:
        """Do nothing: folders do not exist on their own."""

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield the paths directly below."""
        selector = fs.FileSelector(self.key, allow_not_found=True)
        for info in self.store.get_file_info(selector):
            yield self / info.base_name

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Yield the paths directly below whose names match `pattern`."""
        for path in self.iterdir():
            if fnmatchcase(path.name, pattern.replace("[^", "[!")):
                yield path

    def read_bytes(self) -> bytes:
        """Return the content of the object."""
        with self.store.open_input_stream(self.key) as stream:
            return bytes(stream.read())

    def write_bytes(self, data: bytes) -> None:
        """Write the object atomically: readers see the old content or the new."""
        with self.store.open_output_stream(self.key) as stream:
            stream.write(data)

    def rename(self, target: RemotePath) -> RemotePath:
        """Copy the object to `target`, then delete this one."""
        self.store.move(self.key, target.key)
        return target

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        try:
            self.store.delete_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def _info(self) -> fs.FileInfo:
        return self.store.get_file_info(self.key)


AnyPath = Path | RemotePath


def parse_path(text: str | os.PathLike[str] | RemotePath) -> AnyPath:
    """Return the path that `text` names, on this machine or in an object store.

    Raises:
        BadInputError: no path at all, an unknown store or option, credentials in the path, or no
            bucket.
    """
    if isinstance(text, RemotePath):
        return text
    if not isinstance(text, str | os.PathLike):
        raise BadInputError(
            f"found {reprlib.repr(text)}, where a path must be: text such as 'results/mnist-1', or "
            "a pathlib.Path."
        )
    text = os.fsdecode(text)
    if not (found := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)):
        return local_path(text)
    scheme = found[1].lower()
    if scheme == "file":
        return Path(urlsplit(text).path)
    if scheme not in _SCHEMES:
        raise BadInputError(
            f"{scheme}://: unknown scheme. Results go to a folder, or to an object store named by "
            f"{' or '.join(f'{name}://bucket/path' for name in _SCHEMES)}."
        )
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise BadInputError(
            f"{scheme}://: found credentials in the path, which is stored with the run. Set "
            "them in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    unknown = set(parse_qs(parts.query)) - set(_OPTIONS)
    key = f"{parts.netloc}{parts.path}".strip("/")
    if unknown or not parts.netloc or "//" in key:
        why = f"unknown option {min(unknown)[:40]!r}" if unknown else "found no bucket and path"
        raise BadInputError(
            f"{scheme}://: {why}. It must be {scheme}://bucket/path, with these options if needed: "
            f"?{'=...&'.join(_OPTIONS)}=..."
        )
    return RemotePath(scheme, key, parts.query)


@lru_cache
def _store(scheme: str, bucket: str, query: str) -> fs.FileSystem:
    if scheme == "gs":
        return fs.FileSystem.from_uri(f"gs://{bucket}?retry_limit_seconds={_REQUEST_SECONDS:g}")[0]
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    options: dict[str, Any] = given | _endpoint(given)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if "region" not in options and region:
        options["region"] = region
    if "region" not in options:
        # At Amazon each bucket has a region; other stores accept any.
        at_amazon = "endpoint_override" not in options
        options["region"] = fs.resolve_s3_region(bucket) if at_amazon else "us-east-1"
    return fs.S3FileSystem(
        **options,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        allow_delayed_open=True,  # one request for a small object, not three
    )


def _endpoint(given: dict[str, str]) -> dict[str, str]:
    """Return the store's address as Arrow's options, from the path or else the environment."""
    address = given.get("endpoint_override") or os.environ.get(
        "AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL", "")
    )
    scheme, mark, host = address.partition("://")
    if mark:
        return {"endpoint_override": host.rstrip("/"), "scheme": scheme}
    return {"endpoint_override": address} if address else {}
