"""The contract of every data set, and what stands in for one that is not there."""

from pathlib import Path

import pytest

from tfhier import data
from tfhier.data import DATASETS, openmic
from tfhier.data import download as downloads
from tfhier.errors import InputError

WITH_STAND_IN = {"openmic", "primates"}


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """No data set anywhere, and no way to fetch one."""

    def offline(*_, **__):
        raise InputError("there is no network: fetch it by hand")

    monkeypatch.setenv("TFHIER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TFHIER_CACHE", str(tmp_path / "cache"))
    for name in DATASETS:
        module = data.module_of(name)
        if hasattr(module, "fetch"):
            monkeypatch.setattr(module, "fetch", offline)
    monkeypatch.setattr(downloads.urllib.request, "urlopen", offline)
    return tmp_path


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_keeps_the_contract(name, nothing):
    module = data.module_of(name)
    assert module.NAME
    assert isinstance(module.EMBEDDED_FEATURES, tuple)
    assert bool(module.EMBEDDED_NAME) == hasattr(module, "embedded")
    assert bool(module.EMBEDDED_NAME) == (name in WITH_STAND_IN)
    assert callable(module.load)
    home = module.default_folder()
    assert nothing / "data" in home.parents


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_a_card(name):
    card = data.module_of(name).__doc__
    first, *rest = card.splitlines()
    assert first.endswith(".")
    assert data.describe()[name] == first
    assert rest[0] == ""
    for word in ("* What: ", "Licence", "ayout"):
        assert word in card, word


@pytest.mark.parametrize("name", DATASETS)
def test_preparing_offline_says_what_to_do(name, nothing, capsys):
    module = data.module_of(name)
    try:
        module.prepare(module.default_folder().parent)
        told = capsys.readouterr().out
    except InputError as error:
        told = str(error)
    assert len(told) > 20
    assert not list(nothing.rglob("*.part"))


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_that_is_not_there_is_named(name, nothing):
    with pytest.raises(InputError, match="gone"):
        data.find_clips(name, str(nothing / "gone"))


@pytest.mark.parametrize("name", sorted(set(DATASETS) - WITH_STAND_IN))
@pytest.mark.parametrize("where", ["auto", "embedded"])
def test_without_a_stand_in_the_data_are_asked_for(name, where, nothing):
    message = rf"no embedded stand-in for {data.module_of(name).NAME}: .*--data"
    with pytest.raises(InputError, match=message):
        data.find_clips(name, where)


def test_what_stands_in_for_what(nothing):
    home = openmic.default_folder()
    for where, expected in (("auto", True), ("embedded", True), ("/a/path", False)):
        assert data.stands_in("openmic", where) == expected
    home.mkdir(parents=True)
    for where, expected in (("auto", False), ("embedded", True), ("/a/path", False)):
        assert data.stands_in("openmic", where) == expected


def test_clips_come_from_where_they_are_asked_for(nothing, monkeypatch):
    asked = []
    monkeypatch.setattr(openmic, "load", lambda path: asked.append(path))
    monkeypatch.setattr(openmic, "embedded", lambda: asked.append("embedded"))
    data.find_clips("openmic", "auto")
    openmic.default_folder().mkdir(parents=True)
    data.find_clips("openmic", "auto")
    data.find_clips("openmic", "embedded")
    data.find_clips("openmic", "~/clips")
    expected = ["embedded", openmic.default_folder(), "embedded", Path.home() / "clips"]
    assert asked == expected


def test_an_unknown_data_set_is_refused_with_close_names():
    with pytest.raises(InputError, match="no dataset 'esc5'. Close: .*esc50"):
        data.module_of("esc5")
