"""What a folder holds: flows and namespace files."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kestra.content import decode, encode
from infra.kestra.errors import InvalidContent
from infra.kestra.folder import kestra_1_path, read_folder


def write(folder: Path, **texts: str) -> Path:
    """Writes flow files; `demo__hello` stands for demo/hello.yaml."""
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def flow(namespace: str, flow_id: str) -> str:
    return f"id: {flow_id}\nnamespace: {namespace}\ntasks: []\n"


def keys(folder: Path) -> list[str]:
    return [item.key for found in read_folder(folder).values() for item in found.flows.values()]


def test_flows_are_read_from_namespace_folders_in_order(tmp_path: Path):
    write(
        tmp_path,
        b__one=flow("b", "one"),
        a__two=flow("a", "two"),
        a__one=flow("a", "one"),
        a__größe=flow("a", "three"),
    )
    assert keys(tmp_path) == ["a/three", "a/one", "a/two", "b/one"]
    assert read_folder(tmp_path)["a"].paths["three"] == tmp_path / "a/größe.yaml"


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_file_may_be_called_otherwise_than_its_flow(tmp_path: Path, suffix: str):
    path = tmp_path / f"demo/Any name{suffix}"
    path.parent.mkdir()
    path.write_text(flow("demo", "hello"))
    assert read_folder(tmp_path)["demo"].paths == {"hello": path}


@pytest.mark.parametrize("name", ["hello.yaml", "Any name.yml"])
def test_a_text_for_kestra_1_is_read_beside_its_flow(tmp_path: Path, name: str):
    path = tmp_path / "demo" / name
    path.parent.mkdir()
    path.write_text(flow("demo", "hello"))
    older = kestra_1_path(path)
    assert older.name.endswith(f".kestra-1{path.suffix}")
    older.write_text(flow("demo", "hello") + "# For Kestra 1.\n")
    found = read_folder(tmp_path)["demo"]
    assert found.paths == {"hello": path}
    assert found.flows["hello"].text == path.read_text()
    assert found.kestra_1_flows["hello"].text == older.read_text()


def test_a_text_for_kestra_1_must_describe_the_flow_beside_it(tmp_path: Path):
    write(tmp_path, demo__hello=flow("demo", "hello"))
    for name, flow_id in (("hello", "other"), ("other", "hello"), ("alone", "alone")):
        (tmp_path / f"demo/{name}.kestra-1.yaml").write_text(flow("demo", flow_id))
    with pytest.raises(InvalidContent) as caught:
        read_folder(tmp_path)
    assert str(caught.value).splitlines()[1:] == [
        f"  {tmp_path}/demo/{name}.kestra-1.yaml describes demo/{flow_id} for Kestra 1, but "
        f"{name}.yaml beside it does not"
        for name, flow_id in (("alone", "alone"), ("hello", "other"), ("other", "hello"))
    ]


def test_hidden_files_backups_and_other_suffixes_are_left_alone(tmp_path: Path):
    write(tmp_path, demo__hello=flow("demo", "hello"))
    left_alone = (
        "demo/.draft.yaml .cache/draft.yaml demo/hello.yaml~ demo/hello.yaml.bak "
        "demo/hello.yaml.orig demo/.hello.yaml.swp demo/#hello.yaml# demo/.#hello.yaml "
        "demo/hello.yaml.tmp demo/query.sql README.md demo/files/.hidden demo/files/a.sql~ "
        "demo/files/.git/config"
    )
    for name in left_alone.split():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    assert keys(tmp_path) == ["demo/hello"]
    assert read_folder(tmp_path)["demo"].files == {}


def test_files_of_a_namespace_are_read_whether_text_or_not(tmp_path: Path):
    contents = {
        "sql/a b.sql": b"select 1\r\n",
        "größe.txt": "größe".encode(),
        "data.bin": b"\x00\xff",
        "nested.yaml": b"{",
        "files/deep": b"",
    }
    for name, content in contents.items():
        path = tmp_path / "demo/files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    found = read_folder(tmp_path)["demo"]
    assert found.flows == {}
    assert {path: decode(text) for path, text in found.files.items()} == contents
    assert found.files["sql/a b.sql"] == "select 1\r\n"


def test_an_empty_folder_is_empty_and_a_missing_one_is_an_error(tmp_path: Path):
    assert read_folder(tmp_path) == {}
    with pytest.raises(InvalidContent, match="missing is not a folder"):
        read_folder(tmp_path / "missing")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_text_of_a_flow_is_what_its_author_wrote(tmp_path: Path, end: str):
    path = tmp_path / "demo/hello.yaml"
    path.parent.mkdir()
    text = "# größe 🚕\t\n" + flow("demo", "hello") + "description: |\n  a  \n\n\n  # b\n\n"
    path.write_bytes(text.replace("\n", end).encode())
    assert read_folder(tmp_path)["demo"].flows["hello"].text == text.replace("\n", end)


def test_all_errors_of_all_files_are_reported_at_once(tmp_path: Path):
    write(
        tmp_path,
        demo__good=flow("demo", "good"),
        demo__hello=flow("other", "hello"),
        demo__twin=flow("demo", "good"),
        demo__broken="id: [",
        demo__deeper__hello=flow("demo", "hello"),
        top=flow("demo", "top"),
    )
    (tmp_path / "demo/latin.yaml").write_bytes("id: größe".encode("latin-1"))
    with pytest.raises(InvalidContent) as caught:
        read_folder(tmp_path)
    head, *errors = str(caught.value).splitlines()
    assert head == "6 files are invalid; nothing was changed."
    assert errors == [
        f"  {tmp_path}/demo/broken.yaml is not valid YAML: line 2, column 1: "
        "while parsing a flow node, did not find expected node content",
        f"  {tmp_path}/demo/deeper/hello.yaml describes demo/hello: move it to "
        f"{tmp_path}/demo, or change its namespace",
        f"  {tmp_path}/demo/hello.yaml describes other/hello: move it to "
        f"{tmp_path}/other, or change its namespace",
        f"  {tmp_path}/demo/latin.yaml 'utf-8' codec can't decode byte 0xf6 in position 6: "
        "invalid start byte",
        f"  {tmp_path}/demo/twin.yaml describes demo/good, and so does {tmp_path}/demo/good.yaml",
        f"  {tmp_path}/top.yaml describes demo/top: move it to {tmp_path}/demo, "
        "or change its namespace",
    ]


def test_files_that_cannot_be_read_are_named(tmp_path: Path):
    folder = tmp_path / "demo"
    (folder / "files").mkdir(parents=True)
    (folder / "memory.yaml").symlink_to("/proc/self/mem")
    (folder / "deep.yaml").write_text(f"{'{a: ' * 3000}{'}' * 3000}")
    Path(os.fsdecode(os.fsencode(folder / "files") + b"/\xff.txt")).touch()
    with pytest.raises(InvalidContent) as caught:
        read_folder(tmp_path)
    head, *errors = str(caught.value).splitlines()
    assert head == "3 files are invalid; nothing was changed."
    assert errors == [
        f"  {folder}/deep.yaml is nested too deeply, or contains itself",
        f"  b'{folder}/files/\\xff.txt' has a name that is not UTF-8",
        f"  {folder}/memory.yaml cannot be read: Input/output error",
    ]


@given(
    st.binary() | st.text().map(str.encode) | st.text().map(lambda text: b"base64:" + text.encode())
)
def test_any_content_comes_back(content: bytes):
    assert decode(encode(content)) == content


@given(st.text(), st.text())
def test_text_stays_text_so_that_its_difference_shows(text: str, other: str):
    if not text.startswith("base64:"):
        assert encode(text.encode()) == text
    assert (encode(text.encode()) == encode(other.encode())) is (text == other)
