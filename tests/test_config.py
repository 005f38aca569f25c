"""Defaults, TOML file, command line -> Settings: joined, checked, explained."""

import re
import subprocess
import sys
from dataclasses import fields, is_dataclass

import pytest

from stream_erc.__main__ import main
from stream_erc.command_line import make_parser
from stream_erc.config import (
    INTERVALS,
    AsrConfig,
    EmotionConfig,
    EngineConfig,
    GateConfig,
    ServerConfig,
    Settings,
    TurnConfig,
    VadConfig,
)
from stream_erc.errors import ConfigError
from stream_erc.limits import LimitsConfig
from stream_erc.settings import explain, read_settings


def read(tmp_path, toml, **overrides):
    file = tmp_path / "settings.toml"
    file.write_text(toml)
    return read_settings(file, {k.replace("__", "."): v for k, v in overrides.items()})


def all_settings():
    """Every "table.name" that the classes have, found without `explain`."""
    return [
        f"{table.name}.{one.name}"
        for table in fields(Settings)
        for one in fields(getattr(Settings(), table.name))
    ]


def test_without_file_and_options_everything_has_its_default():
    assert read_settings(None, {}) == Settings()


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    read_back = read(tmp_path, "[turns]\nend_silence_ms = 800\n[vad]\nonset = 0.6\n")
    assert read_back.turns == TurnConfig(end_silence_ms=800)
    assert read_back.vad == VadConfig(onset=0.6)
    assert (read_back.server, read_back.asr) == (ServerConfig(), AsrConfig())


def test_the_command_line_goes_before_the_file(tmp_path):
    toml = "[server]\nport = 9000\ndrain_s = 3.0\n"
    server = read(tmp_path, toml, server__port=9001).server
    assert (server.port, server.drain_s) == (9001, 3.0)


def test_the_command_line_alone_is_enough():
    assert read_settings(None, {"asr.language": "de"}).asr.language == "de"


def test_a_whole_number_passes_for_a_fraction(tmp_path):
    assert read(tmp_path, "[server]\ndrain_s = 3\n").server.drain_s == 3


@pytest.mark.parametrize(
    ("toml", "expected", "got"),
    [
        ("[turn]\n", "server, limits, vad, turns, asr, gates, emotion", "turn"),
        ("[turns]\nend_silence = 3\n", "end_silence_ms", "turns.end_silence"),
        ("port = 9000\n", "only tables", "port"),
        ("[[server]]\nport = 1\n", "only tables", "server"),
        ("[server]\nport = '9000'\n", "server.port: expected int", "'9000'"),
        ("[server]\nport = 9000.0\n", "server.port: expected int", "9000.0"),
        ("[server]\nport = true\n", "server.port: expected int", "True"),
        ("[server]\ndrain_s = true\n", "server.drain_s: expected float", "True"),
        ("[server]\norigins = 'a'\n", "server.origins: expected a list", "'a'"),
        ("[server]\norigins = [1]\n", "server.origins: expected a list", "[1]"),
        ("[server]\ninsecure = 1\n", "server.insecure: expected bool", "1"),
        ("[server]\nhost = 1\n", "server.host: expected str", "1"),
        ("[server.host]\nname = 1\n", "server.host: expected str", "name"),
        ("[server\n", "a TOML file", "line 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(tmp_path, toml, expected, got):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, toml)
    assert str(caught.value).startswith(f"{tmp_path / 'settings.toml'}: ")
    told_expected, _, told_got = str(caught.value).partition(", got")
    assert expected in told_expected
    assert got in told_got


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: .* no such file or directory$"):
        read_settings(tmp_path / "none.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"[server]\nhost = '\xe9'\n")
    with pytest.raises(ConfigError, match=r"latin\.toml: .*text that is not UTF-8$"):
        read_settings(tmp_path / "latin.toml", {})


@pytest.mark.parametrize("name", ["mood.swing", "server.mood", "port"])
def test_an_unknown_option_is_refused(name):
    with pytest.raises(ConfigError, match="expected"):
        read_settings(None, {name: 1})


NAN = float("nan")
COUNTS = [one.name for one in fields(LimitsConfig) if one.type == "int"]
MEASURES = [
    one.name
    for one in fields(LimitsConfig)
    if one.type == "float" and one.name != "reader_timeout_s"
]
OUT_OF_RANGE = [
    (ServerConfig, {"port": -1}),
    (ServerConfig, {"port": 65_536}),
    (ServerConfig, {"origins": ("example.org",)}),
    (ServerConfig, {"origins": ("https://example.org/",)}),
    (ServerConfig, {"origins": ("null",)}),
    (ServerConfig, {"certificate": "c.pem"}),
    (ServerConfig, {"key": "k.pem"}),
    (ServerConfig, {"host": "0.0.0.0"}),
    (ServerConfig, {"resume_window_s": -0.1}),
    (ServerConfig, {"drain_s": NAN}),
    *((LimitsConfig, {name: 0}) for name in COUNTS),
    *((LimitsConfig, {name: 0.0}) for name in MEASURES),
    *((LimitsConfig, {name: NAN}) for name in MEASURES),
    (LimitsConfig, {"max_pace": 7.9}),
    (LimitsConfig, {"reader_timeout_s": -1.0}),
    (VadConfig, {"onset": 1.0}),
    (VadConfig, {"onset": NAN}),
    (VadConfig, {"offset": 0.0}),
    (VadConfig, {"offset": 0.6}),
    (VadConfig, {"min_speech_ms": 31}),
    (VadConfig, {"min_speech_ms": 1001}),
    (VadConfig, {"min_pause_ms": 31}),
    (VadConfig, {"min_pause_ms": 1001}),
    (TurnConfig, {"post_roll_ms": -1}),
    (TurnConfig, {"post_roll_ms": 151}),
    (TurnConfig, {"post_roll_ms": 100, "eager_silence_ms": 96}),
    (TurnConfig, {"eager_silence_ms": 545}),
    (TurnConfig, {"end_silence_complete_ms": 127}),
    (TurnConfig, {"end_silence_complete_ms": 545}),
    (TurnConfig, {"end_silence_complete_ms": -1}),
    (TurnConfig, {"end_silence_unfinished_ms": 543}),
    (TurnConfig, {"end_silence_unfinished_ms": 10_001}),
    (TurnConfig, {"pre_roll_ms": -1}),
    (TurnConfig, {"pre_roll_ms": 2001}),
    (TurnConfig, {"onset_search_ms": -1}),
    (TurnConfig, {"onset_search_ms": 2001}),
    (TurnConfig, {"max_turn_ms": 1999}),
    (TurnConfig, {"max_turn_ms": 29_001}),
    (TurnConfig, {"search_ms": 0}),
    (TurnConfig, {"search_ms": 19_000}),
    *((TurnConfig, {name: 99}) for name in INTERVALS),
    (TurnConfig, {"emotion_partial_ms": 99}),
    (AsrConfig, {"device": "tpu"}),
    (AsrConfig, {"threads": 0}),
    (AsrConfig, {"workers": -1}),
    (GateConfig, {"min_log_probability": 0.0}),
    (GateConfig, {"max_no_speech_probability": 0.0}),
    (GateConfig, {"max_no_speech_probability": 1.1}),
    (GateConfig, {"max_compression_ratio": 1.0}),
    (GateConfig, {"max_words_per_s": NAN}),
    (EmotionConfig, {"device": "tpu"}),
    (EngineConfig, {"hang_s": 0.0}),
    (EngineConfig, {"hang_s": NAN}),
    (EngineConfig, {"max_stuck": 0}),
]


@pytest.mark.parametrize(
    ("kind", "values"), OUT_OF_RANGE, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_a_value_out_of_range_is_refused_by_name(kind, values):
    with pytest.raises(ConfigError) as caught:
        kind(**values)
    told = str(caught.value)
    assert "expected" in told
    assert ", got" in told
    assert any(name in told for name in values)
    assert str(next(iter(values.values()))) in told


def test_every_setting_is_explained_with_its_type_and_default():
    explained = {name: (kind, default, text) for name, kind, default, text in explain()}
    assert sorted(explained) == sorted(all_settings())
    for name, (kind, default, text) in explained.items():
        assert type(default) is kind, name
        assert text, name


def test_every_table_is_frozen():
    for table in fields(Settings):
        config = getattr(Settings(), table.name)
        assert is_dataclass(config)
        assert config.__dataclass_params__.frozen, table.name


def options_of(*arguments):
    return vars(make_parser().parse_args(["serve", *arguments]))


def test_every_setting_is_an_option_that_reaches_it():
    for name, kind, default, _ in explain():
        if kind is bool:
            assert options_of(f"--{name}")[name] is True
        elif kind is tuple:
            assert options_of(f"--{name}", "a,b")[name] == ("a", "b")
        else:
            assert options_of(f"--{name}", str(default))[name] == default


def test_a_flag_that_is_not_given_leaves_the_file_alone(tmp_path):
    given = options_of()
    assert given["server.insecure"] is None
    assert read(tmp_path, "[server]\ninsecure = true\n").server.insecure


def test_a_list_comes_from_a_file_as_from_the_command_line(tmp_path):
    toml = "[server]\norigins = ['https://a.org', 'https://b.org:8443']\n"
    both = ("https://a.org", "https://b.org:8443")
    assert read(tmp_path, toml).server.origins == both
    given = options_of("--server.origins", ",".join(both))["server.origins"]
    assert read(tmp_path, "", server__origins=given).server.origins == both


def test_the_help_names_every_setting():
    shown = subprocess.run(
        [sys.executable, "-m", "stream_erc", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    missing = [name for name in all_settings() if not re.search(f"--{name}[ ,]", shown)]
    assert missing == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_wants_neither_tokens_nor_tls(host):
    assert ServerConfig(host=host).host == host


TOKENS, TLS = {"tokens": "tokens"}, {"certificate": "c.pem", "key": "k.pem"}
BEYOND = ["0.0.0.0", "::", "", "192.0.2.1", "::ffff:127.0.0.1", "example.org"]


@pytest.mark.parametrize("host", BEYOND)
def test_beyond_loopback_the_server_wants_tokens_and_tls_or_a_word(host):
    for given in ({}, TOKENS, TLS):
        with pytest.raises(ConfigError, match=r"expected .*--insecure.*, got"):
            ServerConfig(host=host, **given)
    assert ServerConfig(host=host, insecure=True).host == host
    assert ServerConfig(host=host, **TOKENS, **TLS).host == host


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "70000"), ("--vad.onset", "2"), ("--config", "no")]
)
def test_a_bad_setting_is_one_line_on_stderr_and_exit_code_2(capfd, option, value):
    assert main(["serve", option, value]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith("stream-erc: ")
    assert told.err.count("\n") == 1


def test_an_option_cannot_be_shortened(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--turns.end_silence_m", "700"])
    told = capsys.readouterr().err
    assert "unrecognized arguments: --turns.end_silence_m" in told
    assert "`stream-erc serve --help` lists all" in told


@pytest.mark.parametrize(
    ("cores", "threads", "n_workers"),
    [(0.5, 1, 2), (2.0, 1, 2), (7.5, 1, 7), (8.0, 2, 4), (64.0, 1, 64)],
)
def test_as_many_turns_are_heard_at_once_as_cores_may_be_used(
    monkeypatch, cores, threads, n_workers
):
    monkeypatch.setattr("stream_erc.config.usable_cores", lambda: cores)
    assert AsrConfig(threads=threads).n_workers == n_workers
    assert AsrConfig(threads=threads, workers=3).n_workers == 3
