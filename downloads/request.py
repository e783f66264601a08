"""What may be asked for: one file, from where, how, and what it must be. The payload of the kind `download`."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from downloads import engine, proxies, storage
from downloads.engine.digests import expected
from downloads.engine.url import parse
from jobs import outbound
from jobs.sealed import Secret

# What the engine says of itself; an order that said otherwise could have the wrong bytes taken for the right ones.
_NOT_OURS_TO_SET = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_FIELD_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]{0,8192}")
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{0,4096}")

_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")


def _fetchable(url: str) -> str:
    outbound.check_url(url)
    return url


def _headers(given: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in given.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("a header's name is made of letters, digits and hyphens")
        if name.lower() in _NOT_OURS_TO_SET:
            raise ValueError(f"{name} is set by the downloader itself: leave it out")
        if not _FIELD_VALUE.fullmatch(value.get_secret_value()):
            raise ValueError(f"the value of {name} must be one line of Latin-1 text")
    if len({name.lower() for name in given}) < len(given):
        raise ValueError("a header is given twice")
    return given


def _cookies(given: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in given.items():
        if not _TOKEN.fullmatch(name) or not _COOKIE_VALUE.fullmatch(value.get_secret_value()):
            raise ValueError(f"the cookie {name[:40]!r} has signs that no cookie may have: encode them")
    return given


def _token(given: SecretStr) -> SecretStr:
    if not _BEARER.fullmatch(given.get_secret_value()):
        raise ValueError("a bearer token is letters, digits and - . _ ~ + / =, without spaces")
    return given


Url = Annotated[
    str, StringConstraints(max_length=8192), AfterValidator(_fetchable), Field(json_schema_extra={"format": "uri"})
]
Output = Annotated[str, StringConstraints(max_length=1024), AfterValidator(storage.checked_output)]
Rate = Annotated[int, Field(ge=1024, le=2**50)]


class BasicAuth(BaseModel):
    """HTTP basic authentication."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^:\x00-\x1f]*$")]
    password: Secret


class BearerAuth(BaseModel):
    """A token, as OAuth 2 has it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    bearer: Annotated[Secret, AfterValidator(_token)]


class DownloadRequest(BaseModel):
    """One file to fetch."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: Url = Field(description="http or https. A fragment such as #sha256=… names a digest that the file must have.")
    mirrors: list[Url] = Field(default_factory=list, max_length=16, description="Other URLs of the same file.")
    output: Output | None = Field(
        default=None, description="File name, or path, inside the download root. Taken from the origin if left out."
    )
    threads: int = Field(default=4, ge=1, le=32, description="Connections at once, at most.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)] | None = Field(
        default=None, description="Digest that the file must have."
    )
    digests: dict[str, str] = Field(
        default_factory=dict, max_length=5, description="Further digests, in hex: md5, sha1, sha256, sha384, sha512."
    )
    want_sha256: bool = Field(
        default=False,
        description="Take the SHA-256 even if nothing is to be compared with it; costs a read of the file.",
    )
    sha256_url: Url | None = Field(default=None, description="A file that holds the digest, as sha256sum writes it.")
    if_exists: Literal["overwrite", "rename", "fail", "skip"] = Field(
        default="overwrite", description="What to do where there is a file of that name."
    )
    headers: Annotated[dict[str, Secret], AfterValidator(_headers)] = Field(
        default_factory=dict, max_length=50, description="Sent to the origin of `url` and to no other. Kept encrypted."
    )
    cookies: Annotated[dict[str, Secret], AfterValidator(_cookies)] = Field(
        default_factory=dict, max_length=50, description="As headers."
    )
    auth: BasicAuth | BearerAuth | None = Field(
        default=None, description="username and password, or bearer. Kept encrypted."
    )
    proxy: Annotated[Secret, AfterValidator(proxies.usable)] | None = Field(
        default=None, description="An HTTP proxy to go through: http(s)://[user:password@]host:port. Kept encrypted."
    )
    rate_limit: Rate | None = Field(default=None, description="Bytes per second, at most; can be changed later.")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> DownloadRequest:
        names = {name.lower() for name in self.headers}
        if self.auth and "authorization" in names:
            raise ValueError("give either auth or an Authorization header")
        if self.cookies and "cookie" in names:
            raise ValueError("give either cookies or a Cookie header")
        try:
            expected(self.order())
        except engine.BadOrder as wrong:
            raise ValueError(str(wrong)) from None
        return self

    def order(self, url: str | None = None) -> engine.Order:
        """What the engine is told of it; what the platform adds is not in it.

        `url` is the refreshed one. Where it leads to another origin, the secrets stay behind.
        """
        url = url or self.url
        return engine.Order(
            urls=(url, *self.mirrors),
            connections=self.threads,
            headers=self._fields() if parse(url).origin == parse(self.url).origin else {},
            sha256=self.sha256,
            digests=self.digests,
            want_sha256=self.want_sha256,
        )

    def _fields(self) -> dict[str, str]:
        """Headers, cookies and authentication in clear, as they go over the wire."""
        fields = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{name}={value.get_secret_value()}" for name, value in self.cookies.items())
        match self.auth:
            case BasicAuth():
                login = f"{self.auth.username}:{self.auth.password.get_secret_value()}"
                fields["Authorization"] = f"Basic {b64encode(login.encode()).decode('ascii')}"
            case BearerAuth():
                fields["Authorization"] = f"Bearer {self.auth.bearer.get_secret_value()}"
        return fields
