"""Who comes in: tokens, origins and certificates, one rule at a time."""

import hmac
import logging
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request

from stream_erc import admission
from stream_erc.__main__ import main
from stream_erc.admission import (
    EVERYBODY,
    Admission,
    find_token,
    hash_token,
    make_token,
    open_tls,
    open_wire_log,
    read_tokens,
)
from stream_erc.config import ServerConfig
from stream_erc.errors import ConfigError, NotAllowed

TLS = Path(__file__).parent / "tls"
CERTIFICATE, KEY = str(TLS / "certificate.pem"), str(TLS / "key.pem")
HOST = "127.0.0.1:8765"


def request(path="/v1/stream", **headers):
    return Request(path, Headers({"Host": HOST} | headers))


def bearing(token):
    return request(Authorization=f"Bearer {token}")


def line(name, token):
    return f"{name} {hash_token(token).hex()}\n"


@pytest.fixture
def file(tmp_path):
    """A file of tokens, with two of them."""
    path = tmp_path / "tokens"
    path.write_text("# who may come in\n\n" + line("ann", "a") + line("ben", "b"))
    return path


def asking(file):
    return Admission(ServerConfig(tokens=str(file)))


# --- tokens --------------------------------------------------------------------


def test_without_a_file_everybody_is_one_owner():
    everybody = Admission(ServerConfig())
    assert everybody.admit(request()) == EVERYBODY
    assert everybody.admit(bearing("anything")) == EVERYBODY


def test_a_token_names_its_owner(file):
    assert asking(file).admit(bearing("a")) == "ann"
    assert asking(file).admit(bearing("b")) == "ben"


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (request(), "no_token"),
        (request(Authorization="Bearer"), "no_token"),
        (request(Authorization="Basic YTpi"), "no_token"),
        (request("/v1/stream?token="), "no_token"),
        (bearing("c"), "wrong_token"),
        (bearing("a b"), "wrong_token"),
        (bearing(hash_token("a").hex()), "wrong_token"),
        (request("/v1/stream?token=A"), "wrong_token"),
    ],
)
def test_a_missing_or_wrong_token_is_refused_without_being_repeated(
    file, refused, code
):
    with pytest.raises(NotAllowed) as caught:
        asking(file).admit(refused)
    assert caught.value.code == code
    assert caught.value.close_code == 1008
    assert hash_token("a").hex() not in str(caught.value)


@pytest.mark.parametrize(
    ("given_as", "token"),
    [
        (request(Authorization="Bearer x"), "x"),
        (request(Authorization="bearer  x "), "x"),
        (request("/v1/stream?token=x"), "x"),
        (request("/v1/stream?a=1&token=x%2By&token=z"), "x+y"),
        (request("/v1/stream?token=x", Authorization="Bearer y"), "y"),
        (request("/v1/stream?token=x", Authorization="Basic y"), ""),
        (request("/token=x"), ""),
    ],
)
def test_a_token_comes_in_the_header_or_in_the_query(given_as, token):
    assert find_token(given_as) == token


@given(
    path=st.text(st.characters(max_codepoint=127)),
    values=st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=255))),
    name=st.sampled_from(["Authorization", "Origin", "Host"]),
)
def test_whatever_comes_is_let_in_or_refused(tmp_path_factory, path, values, name):
    tokens = tmp_path_factory.getbasetemp() / "fuzzed"
    tokens.write_text(line("ann", "a"))
    headers = Headers()
    for value in values:
        if "\x7f" not in value:
            headers[name] = value
    for config in (ServerConfig(), ServerConfig(tokens=str(tokens))):
        try:
            assert Admission(config).admit(Request(path, headers)) in ("ann", EVERYBODY)
        except NotAllowed:
            pass


def test_every_hash_is_compared_in_constant_time_also_after_a_match(file, monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    asked = asking(file)
    monkeypatch.setattr(admission, "hmac", type("", (), {"compare_digest": compare}))
    assert asked.admit(bearing("a")) == "ann"
    assert compared == [(hash_token(t), hash_token("a")) for t in ("a", "b")]


def test_tokens_are_long_and_never_the_same():
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43  # 256 bits in base64


# --- the file ------------------------------------------------------------------


def test_an_empty_file_lets_nobody_in_and_that_is_logged(tmp_path, caplog):
    (tmp_path / "none").write_text("# nobody\n")
    asked = asking(tmp_path / "none")
    with pytest.raises(NotAllowed):
        asked.admit(bearing("a"))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{tmp_path / 'none'}: no token in it, so nobody" in record.getMessage()


def test_a_file_with_tokens_is_read_without_a_warning(file, caplog):
    asking(file)
    assert not caplog.records


HASH = hash_token("a").hex()
SECRET = "VerySecretTokenThatSomebodyPastedHere"


@pytest.mark.parametrize(
    ("text", "number", "told"),
    [
        (SECRET, 1, "1 words"),
        (f"ann {HASH}\n\nben {HASH[:-1]}", 3, "63 characters"),
        (f"ann {SECRET}", 1, f"{len(SECRET)} characters"),
        (f"ann {HASH} {SECRET}", 1, "3 words"),
        (f"{SECRET}/ {HASH}", 1, "name"),
        (f"ann {HASH}\nann {hash_token('b').hex()}", 2, "from above"),
        (f"ann {HASH}\nben {HASH.upper()}", 2, "from above"),
    ],
)
def test_a_broken_file_is_refused_with_its_line_and_without_what_stands_there(
    tmp_path, text, number, told
):
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ConfigError, match="expected .*, got") as caught:
        read_tokens(path)
    assert f"{path}:{number}:" in str(caught.value)
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "latin").write_bytes(b"ann \xe9")
    for path in (tmp_path / "none", tmp_path, tmp_path / "latin"):
        with pytest.raises(ConfigError, match=rf"server\.tokens: {path}"):
            read_tokens(path)


def test_after_a_reload_the_new_file_counts(file):
    asked = asking(file)
    file.write_text(line("carl", "c"))
    assert asked.admit(bearing("a")) == "ann"
    asked.reload()
    assert asked.admit(bearing("c")) == "carl"
    with pytest.raises(NotAllowed):
        asked.admit(bearing("a"))


def test_a_broken_file_leaves_the_old_tokens_in_force_and_says_where(file, caplog):
    asked = asking(file)
    file.write_text(line("carl", "c") + SECRET)
    asked.reload()
    assert asked.admit(bearing("a")) == "ann"
    assert f"{file}:2" in caplog.text
    assert SECRET not in caplog.text
    file.unlink()
    asked.reload()
    assert asked.admit(bearing("b")) == "ben"


# --- the command ---------------------------------------------------------------


def test_the_command_prints_a_token_once_and_a_line_that_lets_it_in(tmp_path, capsys):
    assert main(["token", "ann@home"]) == 0
    printed = capsys.readouterr()
    token, line_of_file = printed.out.splitlines()
    assert token not in line_of_file + printed.err
    (tmp_path / "tokens").write_text(line_of_file)
    assert asking(tmp_path / "tokens").admit(bearing(token)) == "ann@home"


@pytest.mark.parametrize("name", ["", "a b", "#ann", "ann\n", "é", "a" * 65])
def test_the_command_refuses_a_name_that_the_file_could_not_hold(name, capsys):
    assert main(["token", name]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("stream-erc: token: expected a name")


def test_the_help_names_the_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "make a token for a client" in capsys.readouterr().out


# --- origins -------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [f"http://{HOST}", f"https://{HOST}", f"HTTPS://{HOST.upper()}", "https://a.org"],
)
def test_pages_of_this_server_and_of_the_list_may_connect(origin):
    config = ServerConfig(origins=("https://A.org",))
    assert Admission(config).admit(request(Origin=origin)) == EVERYBODY


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.org",
        "null",
        "",
        "http://a.org",
        "https://a.org:8443",
        "https://a.org.evil.org",
        "https://evil.org/https://a.org",
        "http://127.0.0.1",
    ],
)
def test_other_pages_may_not(origin):
    config = ServerConfig(origins=("https://a.org",))
    with pytest.raises(NotAllowed) as caught:
        Admission(config).admit(request(Origin=origin))
    assert (caught.value.code, caught.value.close_code) == ("wrong_origin", 1008)


@pytest.mark.parametrize("host", ["localhost:8765", "[::1]:8765", "10.0.0.7", HOST])
def test_a_page_at_an_address_is_of_this_server(host):
    page = request(Host=host, Origin=f"http://{host}")
    assert Admission(ServerConfig()).admit(page) == EVERYBODY


@pytest.mark.parametrize(
    "host", ["evil.org", "evil.org:8765", "127.0.0.1.evil.org", ""]
)
def test_a_name_that_points_here_needs_a_token_or_the_list(host, file):
    page = {"Host": host, "Origin": f"http://{host}"}
    with pytest.raises(NotAllowed, match="page"):
        Admission(ServerConfig()).admit(request(**page))
    listed = ServerConfig(origins=("http://evil.org",))
    if host == "evil.org":
        assert Admission(listed).admit(request(**page)) == EVERYBODY
    assert asking(file).admit(request(**page, Authorization="Bearer a")) == "ann"


def test_a_second_origin_header_helps_nobody():
    twice = request(Origin="https://evil.org")
    twice.headers["Origin"] = f"http://{HOST}"
    with pytest.raises(NotAllowed):
        Admission(ServerConfig()).admit(twice)


def test_where_the_server_speaks_tls_a_plain_page_is_another_one():
    closed = Admission(ServerConfig(certificate=CERTIFICATE, key=KEY))
    assert closed.admit(request(Origin=f"https://{HOST}")) == EVERYBODY
    with pytest.raises(NotAllowed):
        closed.admit(request(Origin=f"http://{HOST}"))


def test_a_right_token_does_not_help_a_wrong_page(file):
    with pytest.raises(NotAllowed, match="page"):
        asking(file).admit(request(Authorization="Bearer a", Origin="https://evil.org"))


# --- TLS -----------------------------------------------------------------------


def test_tls_is_1_2_at_least():
    assert open_tls(CERTIFICATE, KEY).minimum_version >= ssl.TLSVersion.TLSv1_2
    assert open_tls("", "") is None


def test_a_certificate_file_that_is_missing_or_no_pair_is_named(tmp_path):
    none = str(tmp_path / "none.pem")
    with pytest.raises(ConfigError, match=rf"server\.certificate: .*{none}"):
        open_tls(none, KEY)
    with pytest.raises(ConfigError, match=rf"server\.key: .*{none}"):
        open_tls(CERTIFICATE, none)
    with pytest.raises(ConfigError, match="key.pem"):
        open_tls(KEY, KEY)
    with pytest.raises(ConfigError, match="certificate.pem"):
        open_tls(CERTIFICATE, CERTIFICATE)


# --- logs ----------------------------------------------------------------------


def test_the_log_of_the_wire_is_never_at_debug_level(caplog):
    caplog.set_level(logging.DEBUG)
    wire_log = open_wire_log()
    assert not wire_log.isEnabledFor(logging.DEBUG)
    assert wire_log.isEnabledFor(logging.INFO)


def test_probes_leave_no_lines_in_the_log_of_the_wire(caplog):
    caplog.set_level(logging.INFO)
    wire_log = open_wire_log()
    assert not wire_log.isEnabledFor(logging.INFO)
    assert wire_log.isEnabledFor(logging.WARNING)


def test_a_broken_handshake_is_logged_without_what_came(caplog):
    wire_log = open_wire_log()
    try:
        raise ValueError(f"invalid HTTP request line: GET /?token={SECRET}")
    except ValueError:
        wire_log.error("opening handshake failed", exc_info=True)
    assert "opening handshake failed" in caplog.text
    assert SECRET not in caplog.text
