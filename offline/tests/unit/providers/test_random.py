"""The `random` package, which needs no server."""

from __future__ import annotations

import base64
import string
from collections.abc import Iterator

import bcrypt
import pytest
from pulumi.runtime.rpc import UNKNOWN

from offline.providers.random import PROVIDER, RandomId, RandomPassword
from offline.tests.provider_host import CheckError, OperationError, ProviderHost, hosting

PASSWORD, ID = RandomPassword.token, RandomId.token


@pytest.fixture(scope="module")
def random() -> Iterator[ProviderHost]:
    with hosting(PROVIDER) as started:
        yield started


def test_unset_inputs_come_back_with_their_defaults(random: ProviderHost) -> None:
    created = random.create(PASSWORD, {"length": 20})
    given = {k: v for k, v in created.outputs.items() if k not in ("result", "bcryptHash")}
    assert given == {
        "length": 20,
        "lower": True,
        "upper": True,
        "numeric": True,
        "number": True,
        "special": True,
        "minLower": 0,
        "minUpper": 0,
        "minNumeric": 0,
        "minSpecial": 0,
    }
    assert created.id == "none"


def test_result_and_hash_are_secrets(random: ProviderHost) -> None:
    created = random.create(PASSWORD, {"length": 20})
    assert created.secrets == {"result", "bcryptHash"}
    password, digest = created.outputs["result"], created.outputs["bcryptHash"]
    assert len(password) == 20
    assert bcrypt.checkpw(password.encode(), digest.encode())


def test_passwords_differ(random: ProviderHost) -> None:
    results = {random.create(PASSWORD, {"length": 20}).outputs["result"] for _ in range(20)}
    assert len(results) == 20


@pytest.mark.parametrize(
    ("inputs", "alphabet"),
    [
        ({"special": False}, string.ascii_letters + string.digits),
        ({"special": False, "upper": False, "lower": False}, string.digits),
        ({"numeric": False, "special": False}, string.ascii_letters),
        ({"number": False, "special": False}, string.ascii_letters),
        ({"lower": False, "upper": False, "numeric": False, "overrideSpecial": "_-"}, "_-"),
    ],
)
def test_only_wanted_characters(
    random: ProviderHost, inputs: dict[str, object], alphabet: str
) -> None:
    result = random.create(PASSWORD, {"length": 200} | inputs).outputs["result"]
    assert set(result) <= set(alphabet)


def test_least_number_of_characters_of_each_class(random: ProviderHost) -> None:
    inputs = {"length": 10, "minLower": 2, "minUpper": 3, "minNumeric": 4, "minSpecial": 1}
    result = random.create(PASSWORD, inputs).outputs["result"]
    classes = (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
    assert [sum(map(is_in, result)) for is_in in classes] == [2, 3, 4, 1]


def test_long_passwords_are_hashed_up_to_72_bytes(random: ProviderHost) -> None:
    outputs = random.create(PASSWORD, {"length": 100}).outputs
    assert bcrypt.checkpw(outputs["result"][:72].encode(), outputs["bcryptHash"].encode())


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"length": 2, "minLower": 3}, "minSpecial = 3, got 2"),
        (
            {"length": 2, "lower": False, "upper": False, "numeric": False, "special": False},
            "one of lower, upper, numeric and special must be true",
        ),
    ],
)
def test_impossible_passwords(random: ProviderHost, inputs: dict[str, object], reason: str) -> None:
    with pytest.raises(OperationError, match=reason):
        random.create(PASSWORD, inputs)


def test_length_has_to_be_positive(random: ProviderHost) -> None:
    with pytest.raises(CheckError, match="'length' must be at least 1, got 0"):
        random.check(PASSWORD, {"length": 0})


def test_preview_knows_no_result(random: ProviderHost) -> None:
    assert random.preview(PASSWORD, {"length": 8})["result"] == UNKNOWN


def test_refresh_and_delete_leave_the_world_alone(random: ProviderHost) -> None:
    created = random.create(PASSWORD, {"length": 8})
    assert random.refresh(created) == created
    random.delete(created)


def test_id_in_its_spellings(random: ProviderHost) -> None:
    outputs = random.create(ID, {"byteLength": 5, "prefix": "p-"}).outputs
    data = bytes.fromhex(outputs["hex"].removeprefix("p-"))
    assert len(data) == 5
    assert outputs["b64Std"] == "p-" + base64.b64encode(data).decode()
    assert outputs["b64Url"] == "p-" + base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert outputs["dec"] == f"p-{int.from_bytes(data, 'big')}"
