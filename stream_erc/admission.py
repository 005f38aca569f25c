"""Request -> owner, or a refusal: tokens, origins, TLS."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import ssl
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request

from .config import ServerConfig
from .errors import ConfigError, NotAllowed, reason

log = logging.getLogger(__name__)

EVERYBODY = ""
"""Owner of every session where no tokens are asked for; no token has this name."""

TOKEN_BYTES = 32

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Admission:
    """Decides who comes in.

    Args:
        config: Names the files of tokens, certificate and key.

    Attributes:
        tls: What the socket is wrapped in; None where it stays plain.

    Raises:
        ConfigError: If a file cannot be read; names it, and the line.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._pair = (config.certificate, config.key)
        self.tls = open_tls(*self._pair)
        self._origins = frozenset(origin.lower() for origin in config.origins)
        self._token_file = Path(config.tokens) if config.tokens else None
        self._owners: Mapping[bytes, str] = {}
        if self._token_file:
            self._owners = read_tokens(self._token_file)

    def admit(self, request: Request) -> str:
        """Give the owner of what this request opens: the name of its token.

        Raises:
            NotAllowed: If the page it comes from, or its token, is none of ours.
        """
        self._check_origin(request)
        if self._token_file is None:
            return EVERYBODY
        token = find_token(request)
        if not token:
            raise NotAllowed(
                "no_token", "expected Authorization: Bearer TOKEN, or ?token=TOKEN"
            )
        owner = self._find_owner(token)
        if owner is None:
            raise NotAllowed("wrong_token", "expected a token that is known here")
        return owner

    def reload(self) -> None:
        """Read tokens and certificate again; what is broken stays as it was.

        Sockets that are open keep the certificate that they were opened with.
        """
        if self._token_file is not None:
            try:
                self._owners = read_tokens(self._token_file)
            except ConfigError as error:
                log.error("the tokens of before stay in force: %s", error)
            else:
                log.info("%s: %d tokens", self._token_file, len(self._owners))
        if self.tls is not None:
            try:
                # A context that takes one file and refuses the other is of no use any
                # more, so another one tries them first.
                open_tls(*self._pair)
                self.tls.load_cert_chain(*self._pair, password="")
            except (ConfigError, OSError) as error:
                log.error("the certificate of before stays in force: %s", error)
            else:
                log.info("%s: loaded again", self._pair[0])

    def _check_origin(self, request: Request) -> None:
        """Refuse pages of others: a browser lets any page dial any server.

        Programs send no `Origin`. Behind a proxy that ends TLS a page of https comes
        here as plain HTTP, so it counts as the same; the other way round does not.
        Without tokens only an address or `localhost` counts: a name can be made to
        point at any machine by whoever owns it (DNS rebinding).
        """
        origins = request.headers.get_all("Origin")
        if not origins:
            return
        host = ",".join(request.headers.get_all("Host"))
        schemes = ("https",) if self.tls else ("https", "http")
        is_ours = self._token_file is not None or is_address(host)
        same = {f"{scheme}://{host}".lower() for scheme in schemes if is_ours}
        if ",".join(origins).lower() not in same | self._origins:
            raise NotAllowed(
                "wrong_origin", "expected a page of this server or of server.origins"
            )

    def _find_owner(self, token: str) -> str | None:
        """Compare with every hash, all of each, so that time tells nothing."""
        digest = hash_token(token)
        found = None
        for known, owner in self._owners.items():
            if hmac.compare_digest(known, digest):
                found = owner
        return found


def is_address(host: str) -> bool:
    """Whether a `Host` header has an IP address or `localhost`, port or not."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False


def network_of(address: str) -> str:
    """Give what one customer of a provider has: an IPv4 address, or an IPv6 /64."""
    if ":" not in address:
        return address
    return str(ip_network((address.partition("%")[0], 64), strict=False))


def find_token(request: Request) -> str:
    """Give the token of a request, "" where there is none; the header goes first."""
    for header in request.headers.get_all("Authorization"):
        scheme, _, token = header.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    query = parse_qs(request.path.partition("?")[2])
    return query.get("token", [""])[0]


def make_token() -> str:
    """Make a token that nobody can guess: 256 random bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> bytes:
    """Give what the server keeps of a token: its SHA-256.

    A password would want a slow, salted hash; 256 random bits cannot be tried out.
    """
    return hashlib.sha256(token.encode()).digest()


def read_tokens(path: Path) -> dict[bytes, str]:
    """Read a file of lines `NAME SHA256HEX`; `#` begins a comment.

    Returns:
        Hash to name; empty where nobody may come in, which is logged.

    Raises:
        ConfigError: Names file and line, and nothing that stands there: it may be
            a token.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"server.tokens: {path}: expected a text file, got: {reason(error)}"
        ) from error
    owners: dict[bytes, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"server.tokens: {path}:{number}"
        if len(words) != 2:
            raise ConfigError(
                f"{where}: expected NAME SHA256HEX, got {len(words)} words"
            )
        name, digest = words
        require_name(name, where)
        if not SHA256_HEX.fullmatch(digest):
            raise ConfigError(
                f"{where}: expected a hash of 64 hexadecimal digits, got {len(digest)} "
                "characters"
            )
        if name in owners.values() or bytes.fromhex(digest) in owners:
            raise ConfigError(
                f"{where}: expected a name and a hash of its own, got one from above"
            )
        owners[bytes.fromhex(digest)] = name
    if not owners:
        log.warning(
            "%s: no token in it, so nobody can come in; `stream-erc token NAME` makes "
            "one",
            path,
        )
    return owners


def require_name(name: str, where: str) -> None:
    """Refuse a token's name that would not stand in a file or a log as it is.

    Raises:
        ConfigError: Does not repeat the name: somebody may have put a token there.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: expected a name of at most 64 letters, digits and . _ @ -, "
            f"got {len(name)} characters"
        )


def open_tls(certificate: str, key: str) -> ssl.SSLContext | None:
    """Load what TLS needs; None where neither file is named.

    Raises:
        ConfigError: If a file is not there, or they are no pair; names them.
    """
    if not certificate:
        return None
    for name, path in (("certificate", certificate), ("key", key)):
        try:
            Path(path).read_bytes()  # `ssl` does not say which one is not there
        except OSError as error:
            raise ConfigError(
                f"server.{name}: expected {path} in PEM form, got: {reason(error)}"
            ) from error
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        tls.load_cert_chain(certificate, key, password="")  # or it asks the terminal
    except ssl.SSLError as error:
        raise ConfigError(
            f"server.certificate, server.key: expected a chain of certificates and its "
            f"key without a password, both PEM, got {certificate} and {key}: {error}"
        ) from error
    return tls


def open_wire_log() -> logging.Logger:
    """Give the log of the WebSocket library, without what clients sent.

    At debug level it would hold request lines and headers, tokens among them. At info
    level it has two lines for each probe and each file of the page, so it is always one
    level quieter than the rest.
    """
    wire_log = logging.getLogger(f"{__name__}.wire")
    is_loud = log.isEnabledFor(logging.DEBUG)
    least = logging.INFO if is_loud else logging.WARNING
    wire_log.setLevel(max(least, log.getEffectiveLevel()))
    wire_log.addFilter(leave_out_request)
    return wire_log


def leave_out_request(record: logging.LogRecord) -> bool:
    """Drop the traceback of a broken handshake: versions before 15 quote what came."""
    if record.msg == "opening handshake failed":
        record.exc_info = None
    return True


def tell_address(config: ServerConfig, error: OSError) -> ConfigError:
    """Say that nothing can listen on the address of the settings."""
    number = error.errno or 0  # asyncio's own message has a tuple for the address
    told = os.strerror(number) if number > 0 else reason(error)
    return ConfigError(
        "server.host, server.port: expected an address of this machine on which "
        f"nobody listens yet, got {config.host}:{config.port}: {told}"
    )
