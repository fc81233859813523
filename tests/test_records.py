"""The records of the studies are read from the repository, or from the installed package."""

import pytest
from notebook_rules import ROOT
from test_environment import PYPROJECT

from gru_helpers.studies import records
from gru_helpers.studies.records import NAMES, read_record

FILES = sorted(path.stem for path in (ROOT / "data").glob("*.json"))


def test_every_record_has_its_name_and_is_part_of_the_package():
    assert sorted(NAMES) == FILES
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for name in FILES:
        assert included[f"data/{name}.json"] == f"gru_helpers/records/{name}.json"


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_on_which_machine_it_was_made(name):
    assert "machine" in str(read_record(name)) or "device" in str(read_record(name))


def test_where_only_the_package_is_installed_its_own_record_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "data_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(records, "__file__", str(tmp_path / "gru_helpers" / "studies" / "a.py"))
    with pytest.raises(FileNotFoundError, match=r"bench\.json is missing from .*cache: restore it"):
        read_record("bench")
    folder = tmp_path / "gru_helpers" / "records"
    folder.mkdir(parents=True)
    (folder / "bench.json").write_text('{"device": "this one"}', encoding="utf-8")
    assert read_record("bench") == {"device": "this one"}


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="name must be one of"):
        read_record("times")
