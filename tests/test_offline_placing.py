"""A model folder is there whole or not at all, and replaces nothing unasked."""

import pytest

from offline.exporting.placing import check_place, place
from stream_erc.errors import ConfigError


def write_model(folder, content="old"):
    folder.mkdir()
    (folder / "manifest.json").write_text(content)
    (folder / f"{content}.onnx").write_text(content)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_absent_or_empty_folder_is_free(tmp_path, overwrite):
    check_place(tmp_path, overwrite=overwrite)
    check_place(tmp_path / "deep" / "model", overwrite=overwrite)


def test_a_model_is_replaced_only_where_that_is_asked_for(tmp_path):
    write_model(tmp_path / "model")
    with pytest.raises(ConfigError, match="--overwrite replaces"):
        check_place(tmp_path / "model", overwrite=False)
    check_place(tmp_path / "model", overwrite=True)


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"expected a model folder.*manifest\.json"):
        check_place(tmp_path, overwrite=True)


def test_a_file_is_no_place_for_a_model(tmp_path):
    (tmp_path / "model").touch()
    with pytest.raises(ConfigError, match="got the file"):
        check_place(tmp_path / "model", overwrite=True)


def test_the_folder_is_there_once_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "model"
    with place(target) as fresh:
        (fresh / "manifest.json").touch()
        assert not target.exists()
    assert names(target) == ["manifest.json"]
    assert names(target.parent) == ["model"]


def test_of_what_was_there_before_nothing_stays(tmp_path):
    write_model(tmp_path / "model")
    with place(tmp_path / "model") as fresh:
        (fresh / "new.onnx").touch()
    assert names(tmp_path / "model") == ["new.onnx"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_on_the_way_leaves_everything_as_it_was(tmp_path, error):
    write_model(tmp_path / "model")
    with pytest.raises(error), place(tmp_path / "model") as fresh:
        (fresh / "manifest.json").touch()
        raise error
    assert names(tmp_path / "model") == ["manifest.json", "old.onnx"]
    assert names(tmp_path) == ["model"]


def test_a_link_goes_on_to_lead_to_the_model(tmp_path):
    write_model(tmp_path / "first")
    (tmp_path / "model").symlink_to(tmp_path / "first")
    with place(tmp_path / "model") as fresh:
        (fresh / "new.onnx").touch()
    assert (tmp_path / "model").is_symlink()
    assert names(tmp_path / "model") == ["new.onnx"]


def test_a_place_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match="--model: expected a place to write"),
        place(tmp_path / "file" / "model"),
    ):
        pytest.fail("there is no place")
