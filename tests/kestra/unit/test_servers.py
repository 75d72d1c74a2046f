"""The plugin with the servers for integration tests, where one is missing."""

from pathlib import Path

import pytest

from tests.kestra.servers import kestra_command


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_a_missing_kestra_skips_a_test_and_fails_it_in_ci(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ci: str,
    outcome: type[BaseException],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no command `kestra` on PATH"):
        kestra_command()
