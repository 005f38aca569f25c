"""A settings file changed, and what somebody wrote in it kept."""

import os
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc.errors import ConfigError
from stream_erc.settings_file import amend, require_free, write_settings

VALUES = {"threads": 3, "workers": 4}
WRITTEN = """\
# Ours.
[server]
port = 9000  # not the usual

[asr]  # who listens
language = "en"
  threads = 1  # enough
origins = [
  "a",
]

[turns]
end_silence_ms = 700
"""


def test_comments_and_other_keys_stay():
    amended = amend(WRITTEN, "asr", {"threads": 3})
    assert amended == WRITTEN.replace("threads = 1 ", "threads = 3 ")
    more = amend(WRITTEN, "asr", VALUES)
    assert set(WRITTEN.splitlines()) - set(more.splitlines()) == {
        "  threads = 1  # enough"
    }
    assert tomllib.loads(more)["asr"]["workers"] == 4


lines = st.lists(
    st.sampled_from(
        [
            *(
                "[asr]",
                "[ asr ] # here",
                "[server]",
                "[[asr]]",
                "[asr.more]",
                "",
                "# no",
            ),
            *("threads = 1", "workers=2 # two", "'threads' = 1", "asr.threads = 1"),
            *('text = """', '"""', "list = [", "1,", "]", "port = 1", "a = 'x # y'"),
            "asr = {threads = 1}",
        ]
    ),
    max_size=12,
)


@given(lines)
def test_whatever_the_file_only_these_keys_change_or_nothing_does(written):
    text = "\n".join(written)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        before = None
    try:
        after = tomllib.loads(amend(text, "asr", VALUES))
    except ConfigError as error:
        assert "by hand: threads = 3, workers = 4" in str(error)
        return
    assert before is not None
    assert after == {**before, "asr": {**before.get("asr", {}), **VALUES}}


def test_a_file_that_is_not_there_is_made(tmp_path):
    file = tmp_path / "settings.toml"
    require_free(file, "asr", ("threads",))
    write_settings(file, "asr", VALUES)
    assert tomllib.loads(file.read_text()) == {"asr": VALUES}


def test_a_link_stays_a_link_and_its_file_as_private_as_it_was(tmp_path):
    file, link = tmp_path / "file.toml", tmp_path / "link.toml"
    file.write_text(WRITTEN)
    os.chmod(file, 0o600)
    link.symlink_to(file)
    write_settings(link, "asr", VALUES)
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(file.read_text())["asr"]["threads"] == 3
    assert sorted(tmp_path.iterdir()) == [file, link]


def test_what_somebody_has_chosen_is_named(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(WRITTEN)
    require_free(file, "asr", ("workers",))
    with pytest.raises(ConfigError, match=r"expected no asr\.threads, or --overwrite"):
        require_free(file, "asr", ("threads", "workers"))
