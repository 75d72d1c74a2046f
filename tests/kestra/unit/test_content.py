"""What a folder holds: flows and namespace files."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kestra.content import decode, encode, path_error
from infra.kestra.errors import InvalidContent
from infra.kestra.folder import kestra_1_path, read_folder, suite_files


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
        "sql/a+b.sql": b"select 1\r\n",
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
    assert found.files["sql/a+b.sql"] == "select 1\r\n"


def test_tests_of_flows_are_no_flows(tmp_path: Path):
    write(
        tmp_path, demo__hello=flow("demo", "hello"), demo__tests__hello="id: hello\nflowId: hello"
    )
    write(tmp_path, demo__tests__more__deep="[")
    assert keys(tmp_path) == ["demo/hello"]
    assert suite_files(tmp_path) == [tmp_path / "demo/tests/hello.yaml"]


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
        f"  {tmp_path}/demo/latin.yaml is not UTF-8: line 1, column 7: byte 0xf6",
        f"  {tmp_path}/demo/twin.yaml describes demo/good, and so does {tmp_path}/demo/good.yaml",
        f"  {tmp_path}/top.yaml describes demo/top: move it to {tmp_path}/demo, "
        "or change its namespace",
    ]


def test_files_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "demo"
    (folder / "files").mkdir(parents=True)
    (folder / "disk.yaml").touch()
    (folder / "deep.yaml").write_text(f"{'{a: ' * 3000}{'}' * 3000}")
    Path(os.fsdecode(os.fsencode(folder / "files") + b"/\xff.txt")).touch()
    read = Path.read_bytes

    def fail_for_one(path: Path) -> bytes:
        if path.name == "disk.yaml":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail_for_one)
    with pytest.raises(InvalidContent) as caught:
        read_folder(tmp_path)
    head, *errors = str(caught.value).splitlines()
    assert head == "3 files are invalid; nothing was changed."
    assert errors == [
        f"  b'{folder}/files/\\xff.txt' has a name that is not UTF-8",
        f"  {folder}/deep.yaml is nested too deeply, or contains itself",
        f"  {folder}/disk.yaml cannot be read: Input/output error",
    ]


def test_what_is_no_file_of_the_folder_is_an_error_and_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "flows", demo__hello=flow("demo", "hello"))
    folder = tmp_path / "flows/demo"
    files = folder / "files"
    (files / "sql.yaml").mkdir(parents=True)
    (folder / "folder.yaml").mkdir()
    (folder / "locked").mkdir()
    os.mkfifo(files / "pipe")
    outside = tmp_path / "passwd"
    outside.touch()
    links: dict[str, str | Path] = {
        "gone.yaml": "missing.yaml",
        "loop.yaml": "loop.yaml",
        "out.yaml": outside,
        "files/passwd": outside,
        "files/up": "../../../passwd",
        "files/gone": "missing",
        "files/linked": folder,
        "linked": files,
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    monkeypatch.setattr(os, "access", lambda path, _mode: path != folder / "locked")
    with pytest.raises(InvalidContent) as caught:
        read_folder(tmp_path / "flows")
    head, *errors = str(caught.value).splitlines()
    assert head == "11 files are invalid; nothing was changed."
    out = f"is a link to {outside}, outside of {tmp_path}/flows: put a copy there"
    assert errors == [
        f"  {files}/gone is a link to missing, where there is no file",
        f"  {files}/linked is a link to a folder: put the folder itself there",
        f"  {files}/passwd {out}",
        f"  {files}/pipe is neither a file nor a folder",
        f"  {files}/up {out}",
        f"  {folder}/folder.yaml is a folder, but has the name of a YAML file: rename it",
        f"  {folder}/gone.yaml is a link to missing.yaml, where there is no file",
        f"  {folder}/linked is a link to a folder: put the folder itself there",
        f"  {folder}/locked cannot be read: Permission denied",
        f"  {folder}/loop.yaml is a link to loop.yaml, where there is no file",
        f"  {folder}/out.yaml {out}",
    ]


def test_a_link_within_the_folder_is_the_file_that_it_leads_to(tmp_path: Path):
    write(tmp_path / "real", demo__hello=flow("demo", "hello"))
    files = tmp_path / "real/demo/files"
    files.mkdir()
    (files / "a.sql").write_text("select 1")
    (files / "b.sql").symlink_to("a.sql")
    (tmp_path / "real/demo/README.md").symlink_to(tmp_path / "elsewhere.md")
    (tmp_path / "flows").symlink_to("real")
    found = read_folder(tmp_path / "flows")["demo"]
    assert found.files == {"a.sql": "select 1", "b.sql": "select 1"}
    assert found.flows.keys() == {"hello"}


# What java.net.URI takes for something else or not at all, and what only looks like it.
@pytest.mark.parametrize(
    "character", [*" \t\n\0\x1f\x7f\x85\xa0\u2003\u2028\u3000", *'"#%<>?[\\]^`{|}']
)
def test_a_path_that_flows_cannot_read_is_refused(character: str):
    path = f"sql/a{character}b"
    assert path_error(path) == (
        f"has {character!r} in its path, with which flows cannot read it: rename it"
    )


@pytest.mark.parametrize(
    "path", ["..", "../a", "a/../b", "a/..", ".", "./a", "/a", "a//b", "a/", ""]
)
def test_a_path_that_leads_elsewhere_is_refused(path: str):
    assert path_error(path) == 'must have a path without empty parts, "." and ".."'


@pytest.mark.parametrize("path", ["%2e%2e/a", "%252e%252e%252fa"])
def test_a_path_with_escapes_is_refused(path: str):
    assert path_error(path) == "has '%' in its path, with which flows cannot read it: rename it"


@pytest.mark.parametrize(
    "path", ["a", "sql/größe.sql", "a..b/..c", "日本/-_.!~'()*,;:$&+=@", "x/_flows"]
)
def test_any_other_path_is_taken(path: str):
    assert path_error(path) is None


def test_paths_and_namespaces_that_the_server_would_not_read_are_refused(tmp_path: Path):
    for name in (
        "demo/files/a b.sql",
        "demo/files/%2e%2e%2fx",
        "demo/files/_flows/x",
        "De mo/files/x",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(InvalidContent) as caught:
        read_folder(tmp_path)
    assert str(caught.value).splitlines()[1:] == [
        f'  {tmp_path}/De mo/files/x is in the namespace "De mo", which must match '
        "[a-z0-9][a-z0-9._-]*",
        f"  {tmp_path}/demo/files/%2e%2e%2fx has '%' in its path, with which flows cannot read "
        "it: rename it",
        f"  {tmp_path}/demo/files/_flows/x must not be in _flows, from where Kestra imports flows",
        f"  {tmp_path}/demo/files/a b.sql has ' ' in its path, with which flows cannot read it: "
        "rename it",
    ]


@pytest.mark.parametrize("sizes", [[30_000_000], [3_000_000, 3_000_000]])
def test_large_files_are_refused_with_the_reason(tmp_path: Path, sizes: list[int]):
    folder = tmp_path / "demo/files"
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        (folder / f"{number}.txt").write_bytes(b"x" * size)
    with pytest.raises(InvalidContent) as caught:
        read_folder(tmp_path)
    place = f"{folder}/0.txt" if len(sizes) == 1 else folder
    assert str(caught.value).splitlines()[1:] == [
        f"  {place} has {sum(sizes) / 1e6:.1f} MB, and the state of the stack would keep all of "
        "it: at most 5 MB are allowed. Let flows download large files"
    ]


def test_the_largest_file_is_taken(tmp_path: Path):
    path = tmp_path / "demo/files/x"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff" * 5_000_000)
    assert len(decode(read_folder(tmp_path)["demo"].files["x"])) == 5_000_000


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
