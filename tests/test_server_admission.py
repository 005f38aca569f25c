"""Who comes in, through a real server: HTTP statuses, owners, TLS, SIGHUP, logs."""

import asyncio
import logging
import shutil
import signal
import ssl
import urllib.request
from pathlib import Path

import pytest
from conftest import AUDIO
from recording import (
    TIMEOUT_S,
    as_pcm16,
    clip,
    dial,
    join,
    of_type,
    page,
    record,
    silence,
    talk,
)
from scripted_models import ScriptedModels
from talking import END, MODERN
from websockets.exceptions import InvalidStatus

from clients import microphone, replay
from clients.connection import connect
from clients.errors import ConnectionFailed
from stream_erc import events
from stream_erc.__main__ import main
from stream_erc.admission import hash_token, make_token
from stream_erc.events import AudioFormat, EmotionFinal

TLS = Path(__file__).parent / "tls"
CERTIFICATE = TLS / "certificate.pem"
PAIR = {"certificate": str(CERTIFICATE), "key": str(TLS / "key.pem")}
SCRIPT = [clip(MODERN), silence(0.8)]
FORMAT = AudioFormat(encoding="pcm_s16le", sample_rate=16_000, channels=1)
ANN, BEN = make_token(), make_token()


def line(name, token):
    return f"{name} {hash_token(token).hex()}\n"


@pytest.fixture
def tokens(tmp_path):
    """A file with the tokens of Ann and Ben."""
    path = tmp_path / "tokens"
    path.write_text(line("ann", ANN) + line("ben", BEN))
    return path


def bearer(token):
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def refused(url, **options):
    """Dial, and give the response that turns one away."""
    with pytest.raises(InvalidStatus) as caught:
        async with dial(url, **options):
            pass
    return caught.value.response


# --- tokens --------------------------------------------------------------------


async def test_without_a_token_there_is_no_upgrade_but_401(serve, models, tokens):
    async with serve(models, tokens=str(tokens)) as (server, url):
        missing = await refused(url)
        wrong = await refused(url, **bearer("wrong"))
        in_query = await refused(f"{url}?token=wrong")
    assert [r.status_code for r in (missing, wrong, in_query)] == [401, 401, 401]
    for code, n_refused in (("no_token", 1), ("wrong_token", 2)):
        name = "stream_erc_sessions_refused_total"
        found = server.metrics.registry.get_sample_value(name, {"code": code})
        assert found == n_refused
    assert missing.headers["WWW-Authenticate"] == 'Bearer realm="stream-erc"'
    for response in (wrong, in_query):
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


async def test_a_token_opens_a_session_in_the_header_and_in_the_query(
    serve, models, tokens
):
    async with serve(models, tokens=str(tokens)) as (_, url):
        async with talk(f"{url}?token={BEN}") as wire:
            await wire.say(END)
            assert (await wire.hear_all())[-1]["type"] == "session.ended"
        async with connect(url, audio=FORMAT, token=ANN) as connection:
            await connection.end()
            assert [event async for event in connection][-1].turns == 0


async def test_health_is_open_and_metrics_want_a_token(serve, models, tokens):
    async def ask(path):
        return (await asyncio.to_thread(page, url, path))[0]

    async with serve(models, tokens=str(tokens)) as (_, url):
        open_pages = [await ask(path) for path in ("/healthz", "/readyz", "/")]
        assert open_pages == [200, 200, 200]
        assert await ask("/metrics") == 401
        assert await ask(f"/metrics?token={ANN}") == 200


async def test_the_same_conversation_of_two_owners_is_two_conversations(
    serve, models, tokens
):
    async def context_of(token):
        heard = await record(f"{url}?token={token}", SCRIPT, conversation_id="kitchen")
        [final] = of_type(heard, "emotion.final")
        return final["context_seq"], final["context_turns"]

    async with serve(models, tokens=str(tokens)) as (_, url):
        assert await context_of(ANN) == (0, 0)
        assert await context_of(BEN) == (0, 0)
        assert await context_of(ANN) == (1, 1)


async def test_another_owner_cannot_resume_a_session(serve, models, tokens):
    async with serve(models, tokens=str(tokens)) as (_, url):
        async with talk(f"{url}?token={ANN}") as wire:
            welcome = wire.heard[0]
            resume = {"type": "session.resume", "last_seq": 0} | {
                name: welcome[name] for name in ("session_id", "resume_token")
            }
            async with dial(f"{url}?token={BEN}") as thief:
                await thief.say(resume)
                [error] = await thief.hear_all()
            assert (error["code"], thief.close_code) == ("resume_refused", 1008)
            async with dial(f"{url}?token={ANN}") as back:
                await back.say(resume, END)
                assert (await back.hear_all())[-1]["type"] == "session.ended"


# --- origins -------------------------------------------------------------------


async def test_a_page_of_another_site_is_refused_with_403(serve, models):
    async with serve(models, origins=("https://app.example.org",)) as (_, url):
        response = await refused(url, origin="https://evil.example.org")
        assert response.status_code == 403
        own = url.replace("ws://", "http://").removesuffix(events.PATH)
        for origin in ("https://app.example.org", own):
            async with talk(url, dialing={"origin": origin}) as wire:
                await wire.say(END)
                assert (await wire.hear_all())[-1]["type"] == "session.ended"


# --- TLS -----------------------------------------------------------------------


async def test_over_tls_the_clients_see_a_session_through(serve, models, tokens):
    async with serve(models, tokens=str(tokens), **PAIR) as (_, url):
        assert url.startswith("wss://")
        async with connect(url, audio=FORMAT, token=ANN, ca=CERTIFICATE) as connection:
            await connection.send_audio(as_pcm16(join(*SCRIPT)))
            await connection.end()
            seen = [event async for event in connection]
    assert sum(isinstance(event, EmotionFinal) for event in seen) == 1


async def test_the_replay_takes_its_token_from_the_environment(
    serve, models, tokens, monkeypatch, capfd
):
    async with serve(models, tokens=str(tokens), **PAIR) as (_, url):
        arguments = ["--url", url, "--speed", "max", "--json", str(AUDIO / MODERN)]
        trusting = ["--ca", str(CERTIFICATE), *arguments]

        async def run(arguments):
            return await asyncio.to_thread(replay.main, arguments)

        assert await run(trusting) == 1
        assert "HTTP 401: the server wants a token" in capfd.readouterr().err
        monkeypatch.setenv("STREAM_ERC_TOKEN", f"{ANN}\n")
        assert await run(trusting) == 0
        printed = capfd.readouterr()
        assert "emotion.final" in printed.out
        assert await run(arguments) == 1
        assert "self-signed" in capfd.readouterr().err
    assert ANN not in printed.out + printed.err


@pytest.mark.parametrize("program", [replay, microphone])
def test_the_help_of_the_programs_tells_of_token_and_certificate(program, capsys):
    with pytest.raises(SystemExit, match="0"):
        program.main(["--help"])
    shown = capsys.readouterr().out
    assert "--ca FILE" in shown
    assert "STREAM_ERC_TOKEN" in shown


async def test_a_client_that_does_not_trust_the_server_sends_it_nothing(serve, models):
    async with serve(models, **PAIR) as (_, url):
        with pytest.raises(ConnectionFailed) as caught:
            async with connect(url, audio=FORMAT, token=ANN):
                pass
    assert caught.value.code == "untrusted"


@pytest.mark.parametrize(
    ("url", "options", "code"),
    [
        ("ws://127.0.0.1:1/v1/stream", {"ca": CERTIFICATE}, "untrusted"),
        ("wss://127.0.0.1:1/v1/stream", {"ca": TLS / "none.pem"}, "untrusted"),
        ("ws://127.0.0.1:1/v1/stream", {"token": f"{ANN}\nX: y"}, "refused"),
        (f"ws://127.0.0.1:1/v1/stream?token={ANN}", {}, "unreachable"),
    ],
    ids=["not TLS", "no such file", "two lines", "nobody there"],
)
async def test_what_cannot_be_dialled_is_told_without_the_token(url, options, code):
    with pytest.raises(ConnectionFailed) as caught:
        async with connect(url, audio=FORMAT, **options):
            pass
    assert caught.value.code == code
    assert ANN not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "code", "got"),
    [
        (b"", "unreachable", "one that hangs up"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "untrusted", "one without"),
    ],
)
async def test_a_server_without_tls_is_called_so(answer, code, got):
    async def meet(reader, writer):
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(ConnectionFailed) as caught:
            async with connect(url, audio=FORMAT):
                pass
    told = f"{url}: expected a server with TLS, got {got}; ws:// is without"
    assert (caught.value.code, str(caught.value)) == (code, told)


async def test_a_server_of_ours_without_tls_is_called_so(serve):
    async with serve(ScriptedModels()) as (_, url):
        with pytest.raises(ConnectionFailed, match="expected a server with TLS"):
            async with connect(url.replace("ws://", "wss://"), audio=FORMAT):
                pass


async def test_pages_are_served_over_tls_too(serve, models):
    trusting = ssl.create_default_context(cafile=CERTIFICATE)

    def ask(url):
        with urllib.request.urlopen(url, timeout=TIMEOUT_S, context=trusting) as answer:
            return answer.status

    async with serve(models, **PAIR) as (_, url):
        root = url.replace("wss://", "https://").removesuffix(events.PATH)
        assert await asyncio.to_thread(ask, f"{root}/healthz") == 200


# --- SIGHUP --------------------------------------------------------------------


async def until_refused(url, token):
    """Dial until the token is no longer let in: a signal takes its time."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                async with dial(url, **bearer(token)):
                    pass
            except InvalidStatus:
                return


async def test_after_sighup_the_new_tokens_count_and_a_revoked_one_is_closed(
    serve, models, tokens
):
    carl = make_token()
    async with serve(models, tokens=str(tokens), drain_s=0.0) as (_, url):
        async with (
            talk(f"{url}?token={ANN}") as gone,
            talk(f"{url}?token={BEN}") as kept,
        ):
            tokens.write_text(line("ben", BEN) + line("carl", carl))
            signal.raise_signal(signal.SIGHUP)
            await gone.hear_all()
            assert (gone.close_code, gone.socket.close_reason) == (1008, "wrong_token")
            await until_refused(url, ANN)
            async with dial(url, **bearer(carl)):
                pass
            await kept.say(END)
            assert (await kept.hear_all())[-1]["type"] == "session.ended"


async def test_a_broken_file_at_sighup_changes_nothing(serve, models, tokens, caplog):
    async with serve(models, tokens=str(tokens)) as (_, url):
        async with talk(f"{url}?token={ANN}") as wire:
            tokens.write_text(line("carl", make_token()) + "what is this")
            signal.raise_signal(signal.SIGHUP)
            async with asyncio.timeout(TIMEOUT_S):
                while f"{tokens}:2" not in caplog.text:
                    async with dial(url, **bearer(BEN)):
                        pass
            await wire.say(END)
            assert (await wire.hear_all())[-1]["type"] == "session.ended"


async def test_sighup_without_tokens_and_certificate_is_no_end(serve, models):
    async with serve(models) as (_, url):
        signal.raise_signal(signal.SIGHUP)
        assert (await record(url, []))[-1]["type"] == "session.ended"


@pytest.fixture
def pair(tmp_path):
    """The files of a certificate and its key, to be replaced."""
    for name in PAIR:
        shutil.copy(TLS / f"{name}.pem", tmp_path)
    return {name: str(tmp_path / f"{name}.pem") for name in PAIR}


def certificate_of(url):
    """The certificate that a server shows to one who comes now."""
    host, port = url.split("/")[2].split(":")
    return ssl.get_server_certificate((host, int(port)), timeout=TIMEOUT_S)


async def test_after_sighup_new_sockets_get_the_new_certificate(serve, models, pair):
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    async with serve(models, **pair) as (_, url):
        async with talk(url, dialing={"ssl": trusting}) as wire:
            before = await asyncio.to_thread(certificate_of, url)
            for name, file in pair.items():
                shutil.copy(TLS / f"renewed-{name}.pem", file)
            signal.raise_signal(signal.SIGHUP)
            async with asyncio.timeout(TIMEOUT_S):
                while (now := await asyncio.to_thread(certificate_of, url)) == before:
                    pass
            assert now == (TLS / "renewed-certificate.pem").read_text()
            await wire.say(END)
            assert (await wire.hear_all())[-1]["type"] == "session.ended"


@pytest.mark.parametrize("spoilt", ["certificate", "key"])
@pytest.mark.parametrize("source", ["/dev/null", TLS], ids=["empty", "half renewed"])
async def test_a_pair_that_is_broken_at_sighup_leaves_the_old_one(
    serve, models, pair, caplog, spoilt, source
):
    async with serve(models, **pair) as (_, url):
        before = await asyncio.to_thread(certificate_of, url)
        new = source if source != TLS else TLS / f"renewed-{spoilt}.pem"
        shutil.copy(new, pair[spoilt])
        signal.raise_signal(signal.SIGHUP)
        async with asyncio.timeout(TIMEOUT_S):
            while "the certificate of before stays in force" not in caplog.text:
                assert await asyncio.to_thread(certificate_of, url) == before
        assert await asyncio.to_thread(certificate_of, url) == before


# --- logs ----------------------------------------------------------------------


async def test_no_token_and_no_query_is_ever_logged(serve, models, tokens, caplog):
    caplog.set_level(logging.DEBUG)
    never = ["QueryThatIsNobodysBusiness", "WrongTokenOfSomebody"]
    query = f"token={ANN}&{never[0]}"
    quiet = {"logger": logging.Logger("the test's own client", logging.CRITICAL)}
    async with serve(models, tokens=str(tokens)) as (_, url):
        async with talk(f"{url}?{query}", dialing=quiet) as wire:
            await wire.say(as_pcm16(join(*SCRIPT)), END)
            assert of_type(await wire.hear_all(), "emotion.final")
        async with connect(url, audio=FORMAT, token=BEN) as connection:
            await connection.end()
            assert [event async for event in connection]
        await refused(f"{url}?token={never[1]}", **quiet)
        await asyncio.to_thread(page, url, f"/metrics?{query}")
        for broken in (b"GET /v1/stream?%b HTTP/7\r\n\r\n", b"GET /?%b\r\n\r\n"):
            host, port = url.split("/")[2].split(":")
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(broken % query.encode())
            await reader.read()
            writer.close()
            await writer.wait_closed()
    assert "connection open" in caplog.text
    for secret in (ANN, BEN, *never, hash_token(ANN).hex()):
        assert secret not in caplog.text


# --- at start-up ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], ["server.host", "--insecure", "0.0.0.0"]),
        (["--server.tokens", "/nowhere/tokens"], ["/nowhere/tokens"]),
        (["--server.certificate", "c.pem"], ["server.key", "both"]),
        (["--server.origins", "a.org"], ["server.origins", "SCHEME", "a.org"]),
        (
            ["--server.certificate", "/nowhere/c.pem", "--server.key", "k.pem"],
            ["server.certificate", "/nowhere/c.pem"],
        ),
    ],
)
def test_what_would_let_strangers_in_stops_the_start_with_one_line(
    arguments, told, capsys
):
    assert main(["serve", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("stream-erc: ")
    assert printed.err.count("\n") == 1
    assert all(part in printed.err for part in told)


async def test_insecure_says_that_strangers_may_come(serve, models):
    async with serve(models, host="0.0.0.0", insecure=True) as (_, url):
        local = url.replace("0.0.0.0", "127.0.0.1")
        assert (await record(local, []))[-1]["type"] == "session.ended"
