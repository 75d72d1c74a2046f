"""The `random` package: passwords and identifiers from the machine's cryptographic source.

Follows pulumi-random 4.21 (terraform-provider-random 3.9, internal/provider/resource_password.go
and resource_id.go).
"""

from __future__ import annotations

import base64
import secrets
from typing import ClassVar

import bcrypt
from typing_extensions import override

from offline.providers.schema import Boolean, Integer, Map, String, Table, Values
from offline.providers.server import Provider, ProviderError, Resource, serve

_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
_DIGITS = "0123456789"
_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
_BCRYPT_COST = 10
_BCRYPT_MAX_BYTES = 72


class _Stored(Resource):
    """A resource that lives in the state only."""

    # The official plugin is built on Terraform's plugin framework, whose schemas do not say it.
    schema_says_what_replaces = False

    @override
    def read(self, resource_id: str, state: Values) -> tuple[str, Values]:
        return resource_id, state

    @override
    def delete(self, resource_id: str, state: Values) -> None:
        return None


class RandomPassword(_Stored):
    """A password of the wanted length and classes of characters."""

    token = "random:index/randomPassword:RandomPassword"
    table: ClassVar[Table] = {
        "length": Integer(required=True, replaces=True, minimum=1),
        "lower": Boolean(computed=True, default=True, replaces=True),
        "upper": Boolean(computed=True, default=True, replaces=True),
        "numeric": Boolean(computed=True, default=True, replaces=True),
        "number": Boolean(computed=True, replaces=True),
        "special": Boolean(computed=True, default=True, replaces=True),
        "minLower": Integer(computed=True, default=0, replaces=True),
        "minUpper": Integer(computed=True, default=0, replaces=True),
        "minNumeric": Integer(computed=True, default=0, replaces=True),
        "minSpecial": Integer(computed=True, default=0, replaces=True),
        "overrideSpecial": String(replaces=True),
        "keepers": Map(replaces=True),
        "result": String(computed=True, output_only=True, secret=True),
        "bcryptHash": String(computed=True, output_only=True, secret=True),
    }

    @classmethod
    @override
    def plan(cls, old: Values | None, inputs: Values) -> Values:
        """Foretell the outputs; `number` is the deprecated name of `numeric`."""
        numeric = inputs.get("numeric", inputs.get("number", True))
        return super().plan(old, inputs | {"numeric": numeric, "number": numeric})

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        classes = [
            (planned["numeric"], planned["minNumeric"], _DIGITS),
            (planned["lower"], planned["minLower"], _LOWER),
            (planned["upper"], planned["minUpper"], _UPPER),
            (planned["special"], planned["minSpecial"], planned.get("overrideSpecial") or _SPECIAL),
        ]
        minimum = sum(least for _, least, _ in classes)
        if planned["length"] < minimum:
            raise ProviderError(
                f"length must be at least minUpper + minLower + minNumeric + minSpecial = "
                f"{minimum}, got {planned['length']}"
            )
        alphabet = "".join(characters for wanted, _, characters in classes if wanted)
        if not alphabet:
            raise ProviderError("one of lower, upper, numeric and special must be true")
        result = [secrets.choice(chars) for _, least, chars in classes for _ in range(least)]
        result += [secrets.choice(alphabet) for _ in range(planned["length"] - minimum)]
        secrets.SystemRandom().shuffle(result)
        password = "".join(result)
        digest = bcrypt.hashpw(
            password.encode()[:_BCRYPT_MAX_BYTES], bcrypt.gensalt(_BCRYPT_COST, b"2a")
        )
        return "none", planned | {"result": password, "bcryptHash": digest.decode()}


class RandomId(_Stored):
    """Random bytes, in four spellings."""

    token = "random:index/randomId:RandomId"
    table: ClassVar[Table] = {
        "byteLength": Integer(required=True, replaces=True, minimum=1),
        "prefix": String(replaces=True),
        "keepers": Map(replaces=True),
        "b64Url": String(computed=True, output_only=True),
        "b64Std": String(computed=True, output_only=True),
        "hex": String(computed=True, output_only=True),
        "dec": String(computed=True, output_only=True),
    }

    @override
    def create(self, planned: Values) -> tuple[str, Values]:
        data = secrets.token_bytes(planned["byteLength"])
        prefix = planned.get("prefix", "")
        url = base64.urlsafe_b64encode(data).decode().rstrip("=")
        return url, planned | {
            "b64Url": prefix + url,
            "b64Std": prefix + base64.b64encode(data).decode(),
            "hex": prefix + data.hex(),
            "dec": prefix + str(int.from_bytes(data, "big")),
        }


PROVIDER = Provider("random", "4.21.0", {}, [RandomPassword, RandomId])

if __name__ == "__main__":
    serve(PROVIDER)
