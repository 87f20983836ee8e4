"""A list of pictures with labels: CSV and JSON Lines, their columns, and one refusal for each bad line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import archives
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparation.items import Source
from preparation.sources import open_source
from refusal import Refusal

PICTURES = {"img/a.jpg": b"1", "img/b,c.jpg": b"2", "img/d é.jpg": b"3", "e": b"4"}
CSV = 'path,label,split,group\nimg/a.jpg,dog,test,g1\n"img/b,c.jpg",cat,,g2\nimg/d é.jpg,dog,train,\n./e,ant,val,g3\n'
EXPECTED = [
    ("e", 0, "validation", "g3"),
    ("img/a.jpg", 2, "test", "g1"),
    ("img/b,c.jpg", 1, "", "g2"),
    ("img/d é.jpg", 2, "train", ""),
]


def opened(root: Path, content: str | bytes, name: str = "list.csv", manifest: str = "", prefix: str = "") -> Source:
    content = content.encode() if isinstance(content, str) else content
    files = {f"{prefix}{each}": held for each, held in {**PICTURES, name: content}.items()}
    return open_source("manifest", archives.write(root, files), root, manifest)


def json_lines(text: str) -> str:
    """The same list as JSON Lines."""
    import csv
    import io

    return "\n".join(json.dumps(row) for row in csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_each_line_gives_a_picture_its_label_split_and_group(tmp_path: Path, name: str) -> None:
    source = opened(tmp_path, CSV if name.endswith("csv") else json_lines(CSV), name)
    assert source.kind == "manifest"
    assert source.classes == ("ant", "cat", "dog")
    assert source.items == EXPECTED
    assert source.read is not None
    assert [source.read(index) for index in range(4)] == [PICTURES[item.name] for item in source.items]


def test_a_path_is_found_whichever_way_its_accent_is_written(tmp_path: Path) -> None:
    source = opened(tmp_path, "path,label\nimg/d e\u0301.jpg,Ba\u0308r\nimg/a.jpg,B\u00e4r\ne,c\n")
    assert [item.name for item in source.items] == ["e", "img/a.jpg", "img/d \u00e9.jpg"]
    assert source.classes == ("B\u00e4r", "c")


def test_lines_of_blanks_are_passed_over(tmp_path: Path) -> None:
    assert len(opened(tmp_path, "path,label\nimg/a.jpg,x\n  \n , \n\te,y\n").items) == 2


def test_a_list_in_an_archive_with_one_outer_folder_is_found(tmp_path: Path) -> None:
    files = {f"outer/{name}": content for name, content in {**PICTURES, "list.csv": CSV.encode()}.items()}
    archives.write(tmp_path, {"x.tar.gz": archives.tarred(files)})
    assert open_source("manifest", tmp_path, tmp_path, "list.csv").items == EXPECTED


def test_the_named_list_is_taken_and_paths_start_at_its_folder(tmp_path: Path) -> None:
    source = opened(tmp_path, "path,label\na.jpg,x\n", "img/own.csv", "img/own.csv")
    assert [item.name for item in source.items] == ["a.jpg"]


def test_pictures_without_a_line_are_left_out_and_lines_twice_count_once(tmp_path: Path) -> None:
    source = opened(tmp_path, "path,label\nimg/a.jpg,x\nimg/a.jpg,x\n\n,\n".replace("\n,\n", "\n"))
    assert [item.name for item in source.items] == ["img/a.jpg"]


def test_excels_mark_line_ends_capitals_and_other_columns_are_taken(tmp_path: Path) -> None:
    source = opened(tmp_path, b"\xef\xbb\xbfLabel, Path ,score\r\n7,img/a.jpg,0.5\r\n10,e,1\r\n")
    assert source.classes == ("10", "7")
    assert source.items == [("e", 0, "", ""), ("img/a.jpg", 1, "", "")]


def test_numbers_are_labels_in_json_too(tmp_path: Path) -> None:
    source = opened(tmp_path, '{"path": "e", "label": 7, "group": 3, "split": null}\n\n', "list.jsonl")
    assert (source.classes, source.items) == (("7",), [("e", 0, "", "3")])


def test_the_digest_follows_the_list_and_the_pictures(tmp_path: Path) -> None:
    digests = {opened(tmp_path, f"path,label\n{line}").digest for line in ("e,x", "e,y", "img/a.jpg,x")}
    (tmp_path / "img/a.jpg").write_bytes(b"other")
    digests.add(open_source("manifest", tmp_path, tmp_path).digest)
    assert len(digests) == 4


HEAD = "path,label,split,group\n"
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "parent": (
        HEAD + "e,x,,\nimg/../../x.jpg,x,,\n",
        r"list.csv: line 3: path .* outside the data set: give paths rel",
    ),
    "absolute": (HEAD + "/etc/passwd,x,,\n", "line 2: path '/etc/passwd' lies outside"),
    "address": (HEAD + "s3://bucket/x.jpg,x,,\n", "line 2: path .* lies outside"),
    "backslash": (HEAD + "img\\a.jpg,x,,\n", "line 2: .* write / between folders"),
    "missing": (HEAD + "e,x,,\nimg/z.jpg,x,,\n", "line 3: 'img/z.jpg' is not in the data set"),
    "folder": (HEAD + "img,x,,\n", "line 2: 'img' is not in the data set"),
    "split": (HEAD + "e,x,dev,\n", "line 2: split 'dev': take train, validation or test"),
    "labels": (HEAD + "e,x,,\n./e,y,,\n", "line 3: 'e' has label 'y' here and 'x' above"),
    "splits": (HEAD + "e,x,train,\ne,x,test,\n", "line 3: 'e' has split 'test' here"),
    "group": (HEAD + "e,x,train,g\nimg/a.jpg,x,test,g\n", "line 3: group 'g' is in test here and in train above"),
    "no label": (HEAD + "e,,,\n", "line 2: no 'label'"),
    "no path": (HEAD + " ,x,,\n", "line 2: no 'path'"),
    "few": (HEAD + "e,x\n", "line 2: 2 values for 4 columns"),
    "many": (HEAD + "e,x,,,\n", "line 2: 5 values for 4 columns: quote"),
    "columns": ("file,label\ne,x\n", "line 1: no column 'path' in 'file,label'"),
    "no header": ("e,x\n", "line 1: no column 'path'"),
    "semicolon": ("path;label\ne;x\n", "separated by commas"),
    "twice": ("path,label,label\ne,x,y\n", "two columns are called 'label'"),
    "quote": (HEAD + '"e,x,,\n', "line 2: no CSV"),
    "long": (HEAD + f"e,{'x' * 5000},,\n", "line 2: a value of 5,000 characters"),
    "utf-16": (HEAD.encode("utf-16"), "line 1: the file is UTF-16: save it as UTF-8"),
    "latin": (HEAD.encode() + b"e,x,,\nimg/d \xe9.jpg,x,,\n", "line 3: byte 0xe9 is not UTF-8"),
    "empty": ("", "line 1: no header in it: begin with path,label"),
    "only a header": (HEAD, "no line with a picture in it"),
}
REFUSED_LINES = {
    "no json": ('{"path": "e", "label": "x"}\n{path', "line 2: no JSON object"),
    "list": ("[1]", "line 1: no JSON object"),
    "deep": ("[" * 100_000, "line 1: no JSON object"),
    "number": ('{"path": "e", "label": 1.5}', "line 1: '1.5' is neither a word nor a whole number"),
    "truth": ('{"path": "e", "label": true}', "line 1: 'True' is neither"),
    "digits": ('{"path": "e", "label": ' + "1" * 5000 + "}", "line 1: no JSON object"),
    "surrogate": ('{"path": "e", "label": "\\ud800"}', "line 1: .* is not UTF-8"),
    "no label": ('{"path": "e"}', "line 1: no 'label'"),
    "empty": ("\n", "no line with a picture"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_line_of_csv_is_refused_by_number(tmp_path: Path, case: str) -> None:
    content, words = REFUSED[case]
    with pytest.raises(Refusal, match=words):
        opened(tmp_path, content)


@pytest.mark.parametrize("case", REFUSED_LINES)
def test_a_bad_line_of_json_is_refused_by_number(tmp_path: Path, case: str) -> None:
    content, words = REFUSED_LINES[case]
    with pytest.raises(Refusal, match=words):
        opened(tmp_path, content, "list.jsonl")


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no 'labels.csv' in it: correct dataset.manifest"):
        opened(tmp_path, CSV, manifest="labels.csv")


def test_without_a_name_there_has_to_be_one_list(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no .csv or .jsonl file in it"):
        opened(tmp_path, CSV, name="list.txt")
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.jsonl").write_text("")
    with pytest.raises(Refusal, match="holds 'a.csv' and 'b.jsonl': name one"):
        open_source("manifest", tmp_path, tmp_path)


CELLS = st.sampled_from(
    ["e", "img/a.jpg", "x", "train", '"', ",", "\n", "\r", "\0", "..", "/", "é", "\ufeff", "{", "}"]
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["list.csv", "list.jsonl"]), st.booleans(), st.lists(CELLS, max_size=30), st.binary(max_size=4))
def test_any_text_is_read_or_refused_and_nothing_else(name: str, head: bool, cells: list[str], tail: bytes) -> None:
    content = (HEAD if head else "").encode() + "".join(cells).encode() + tail
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = opened(Path(folder), content, name)
            assert source.items and all(item.name in PICTURES or item.name == name for item in source.items)
        except Refusal as reason:
            assert name in str(reason)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["path", "label", "split", "group"]), st.text() | st.just("e")), max_size=3
    )
)
def test_any_json_is_read_or_refused_and_nothing_else(rows: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            assert opened(Path(folder), "\n".join(map(json.dumps, rows)), "list.jsonl").items
        except Refusal as reason:
            assert "list.jsonl" in str(reason)
