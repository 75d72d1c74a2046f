"""The months of sample/ are those that its script writes, with what its README says."""

import gzip
import json
import re
import subprocess
from pathlib import Path

from tests.unit.harness import PROJECT_FOLDER

FOLDER = PROJECT_FOLDER / "sample"


def test_sample_is_what_the_generator_writes(tmp_path: Path) -> None:
    command = [str(FOLDER / "generate"), str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    months = [json.loads(part) for part in re.findall(r"\{.*?\}", printed)]
    for month in months:
        path = Path(month["path"])
        # Only the text: a release of zlib may compress it otherwise.
        assert gzip.decompress((FOLDER / path.name).read_bytes()) == gzip.decompress(
            path.read_bytes()
        )
    described = re.findall(
        r"^\| `(\S+)` \| (\d+) \| (\S+) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    written = {
        (Path(month["path"]).name, str(month["rows"]), f"{float(month['total_amount']):.2f}")
        for month in months
    }
    assert set(described) == written
    assert {path.name for path in FOLDER.glob("*.csv.gz")} == {name for name, *_ in described}
