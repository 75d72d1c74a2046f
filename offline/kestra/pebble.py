"""Pebble, the template language of Kestra's expressions, on top of Jinja.

The two share their syntax for the most part; what differs is bridged here: `??`, the ternary,
`elseif`, zero-based `loop.index`, `replace` with a map, dates by Java patterns, undefined names
that are errors unless a `default` or `??` catches them, and attributes that only ever reach into
maps and lists. Reference: https://pebbletemplates.io/wiki/ and Kestra's own filters and functions,
https://kestra.io/docs/expressions.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import traceback
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import yaml
from babel.dates import format_datetime
from dateutil.relativedelta import relativedelta
from jinja2 import Undefined, nodes, pass_context
from jinja2.exceptions import TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.lexer import Lexer
from jinja2.nativetypes import NativeEnvironment, NativeTemplate
from jinja2.parser import Parser
from jinja2.runtime import LoopContext

# Source of both: io.kestra.core.runners.pebble.AbstractDate and java.time.temporal.ChronoUnit.
_DATE_FORMATS = {
    "iso": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "iso_sec": "yyyy-MM-dd'T'HH:mm:ssXXX",
    "iso_date": "yyyy-MM-ddXXX",
    "iso_local_date": "yyyy-MM-dd",
    "sql": "yyyy-MM-dd HH:mm:ss.SSSSSS",
    "sql_seq": "yyyy-MM-dd HH:mm:ss",
}
_DATE_UNITS = {
    "NANOS": ("microseconds", 0.001), "MICROS": ("microseconds", 1),
    "MILLIS": ("microseconds", 1000), "SECONDS": ("seconds", 1), "MINUTES": ("minutes", 1),
    "HOURS": ("hours", 1), "HALF_DAYS": ("hours", 12), "DAYS": ("days", 1), "WEEKS": ("weeks", 1),
    "MONTHS": ("months", 1), "YEARS": ("years", 1), "DECADES": ("years", 10),
}  # fmt: skip


class RenderError(Exception):
    """An expression that cannot be evaluated (the server's IllegalVariableEvaluationException)."""


class _Missing(Undefined):
    """A name or attribute that is not there: an error as soon as it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self

    def _fail(self, *args: Any, **kwargs: Any) -> Any:
        raise UndefinedError(str(self._undefined_name))

    __str__ = __iter__ = __len__ = __bool__ = __eq__ = __ne__ = __call__ = _fail
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _fail
    __lt__ = __gt__ = __le__ = __ge__ = __contains__ = _fail
    __hash__ = Undefined.__hash__


class _Parser(Parser):
    """Jinja's parser with Pebble's ternary, `??`, `contains` and `equals`."""

    def parse_condexpr(self) -> nodes.Expr:
        line = self.stream.current.lineno
        test: nodes.Expr = super().parse_condexpr()
        if not self.stream.skip_if("question"):
            return test
        chosen = self.parse_condexpr()
        self.stream.expect("colon")
        return nodes.CondExpr(test, chosen, self.parse_condexpr(), lineno=line)

    def parse_compare(self) -> nodes.Expr:
        left = super().parse_compare()
        if self.stream.skip_if("name:contains"):
            return nodes.Compare(super().parse_compare(), [nodes.Operand("in", left)])
        if self.stream.skip_if("name:equals"):
            return nodes.Compare(left, [nodes.Operand("eq", super().parse_compare())])
        return left

    def parse_unary(self, with_filter: bool = True) -> nodes.Expr:
        line = self.stream.current.lineno
        left = super().parse_unary(with_filter)
        while self.stream.skip_if("coalesce"):
            there = nodes.Test(left, "present", [], [], None, None, lineno=line)
            left = nodes.CondExpr(there, left, super().parse_unary(with_filter), lineno=line)
        return left


class _Template(NativeTemplate):
    pass


class _Environment(NativeEnvironment):
    """Jinja as Pebble: values keep their type, and only maps and lists have members."""

    template_class = _Template

    @property
    def lexer(self) -> Lexer:
        lexer = Lexer(self)
        for state in ("variable_begin", "block_begin"):
            lexer.rules[state] = [
                (re.compile(r"\?{2,3}"), "coalesce", None),  # type: ignore[list-item]
                (re.compile(r"\?"), "question", None),  # type: ignore[list-item]
                *lexer.rules[state],
            ]
        return lexer

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _Parser(self, source, name, filename).parse()

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, LoopContext):
            return obj.index0 if argument == "index" else getattr(obj, str(argument))
        if isinstance(obj, Undefined):
            return obj
        try:
            if isinstance(obj, Mapping) or (
                isinstance(obj, (list, str)) and isinstance(argument, int)
            ):
                return obj[argument]
        except LookupError:
            pass
        return self.undefined(name=str(argument), obj=obj)

    @staticmethod
    def concat(values: Iterable[Any]) -> Any:
        parts = list(values)
        return parts[0] if len(parts) == 1 else "".join(map(stringify, parts))


_Template.environment_class = _Environment


def to_json(value: Any) -> str:
    """Compact JSON, with dates and numbers as Jackson writes them."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=stringify)


def stringify(value: Any) -> str:
    """What a value looks like in rendered text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (Mapping, list, tuple)):
        return to_json(value)
    return str(value)


@pass_context
def _defined(_: Any, value: Any) -> Any:
    if isinstance(value, Undefined):
        raise UndefinedError(str(value._undefined_name))
    return value


# --- filters ---------------------------------------------------------------------------------


def _default(value: Any, fallback: Any = "") -> Any:
    absent = isinstance(value, Undefined) or value is None or value in ("", [], {})
    return fallback if absent else value


def _replace(value: Any, pairs: Mapping[str, Any], regexp: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {key: _replace(each, pairs, regexp) for key, each in value.items()}
    if isinstance(value, list):
        return [_replace(each, pairs, regexp) for each in value]
    text = stringify(value)
    for old, new in pairs.items():
        replacement = stringify(new)
        if regexp:  # Java writes groups as $1, Python as \1
            text = re.sub(str(old), re.sub(r"\$(\d+)", r"\\\1", replacement), text)
        else:
            text = text.replace(str(old), replacement)
    return text


def moment(value: Any, zone: tzinfo = UTC) -> datetime:
    """A date in any of the forms that expressions have it in.

    Args:
        zone: of a date that names none.

    Raises:
        RenderError: it is none.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=zone)
    if isinstance(value, date):
        return datetime.combine(value, time(), zone)
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise RenderError(f"Text '{value}' could not be parsed as a date") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise RenderError(f"Unknown time-zone ID: {name}") from error


def format_date(value: Any, format: str = "iso", timeZone: str | None = None) -> str:
    """A date in a time zone, UTC if none is named.

    Args:
        format: a pattern of Java's DateTimeFormatter, or one of the names that Kestra has for some.

    Raises:
        RenderError: no date, zone or format.
    """
    zone = _zone(timeZone) if timeZone else UTC
    pattern = _DATE_FORMATS.get(format, format)
    if pattern.startswith(("iso_", "rfc_")):
        raise RenderError(f"The date format `{format}` is not supported by the stand-in for Kestra")
    return format_datetime(moment(value, zone).astimezone(zone), pattern, locale="en")


def _date_add(
    value: Any, amount: int, unit: str, format: str = "iso", timeZone: str | None = None
) -> str:
    if unit not in _DATE_UNITS:
        raise RenderError(f"No enum constant java.time.temporal.ChronoUnit.{unit}")
    name, factor = _DATE_UNITS[unit]
    step: dict[str, Any] = {name: int(int(amount) * factor)}
    at = moment(value, _zone(timeZone) if timeZone else UTC)
    return format_date(at + relativedelta(**step), format, timeZone)


def _split(value: Any, delimiter: str, limit: int = 0) -> list[str]:
    text = stringify(value)
    parts = re.split(delimiter, text, maxsplit=max(limit - 1, 0))
    while limit == 0 and parts and not parts[-1]:  # as Java's String.split
        parts.pop()
    return parts or ([] if text else [""])


def from_json(value: Any) -> Any:
    """The data in a JSON text, as the function `fromJson` gives it.

    Raises:
        RenderError: it is no text, or no JSON.
    """
    if value is not None and not isinstance(value, str):
        raise RenderError("The 'fromJson' function expects an argument 'json' with type string.")
    return value and parse_json(value)


def _number(value: Any, type: str | None = None) -> Any:
    text = stringify(value)
    try:
        return (
            int(text) if type in ("INT", "LONG") or (not type and text.isdigit()) else float(text)
        )
    except ValueError as error:
        raise RenderError(f'For input string: "{text}"') from error


def _slugify(value: Any) -> str:
    return re.sub(r"[^a-z0-9]+", "-", stringify(value).lower()).strip("-")


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    return value[start:end]


def _flatten(value: list[Any]) -> list[Any]:
    return [
        inner for each in value for inner in (_flatten(each) if isinstance(each, list) else [each])
    ]


def _merge(value: Any, other: Any) -> Any:
    return {**value, **other} if isinstance(value, Mapping) else [*value, *other]


def _digest(algorithm: str) -> Callable[[Any], str]:
    return lambda value: hashlib.new(algorithm, stringify(value).encode()).hexdigest()


def _indent(value: Any, amount: int, prefix: str = "\n", lead: str = "") -> str:
    return lead + stringify(value).replace("\n", prefix + " " * amount)


def parse_json(value: Any) -> Any:
    """The data in a JSON text.

    Raises:
        RenderError: it is no JSON.
    """
    try:
        return json.loads(stringify(value))
    except json.JSONDecodeError as error:
        raise RenderError(f"Invalid json '{stringify(value)}'") from error


def _partition(value: Any, separator: str, *, last: bool, after: bool) -> str:
    text = stringify(value)
    head, found, tail = text.rpartition(separator) if last else text.partition(separator)
    if not found:
        return "" if after else text
    return tail if after else head


_FILTERS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "base64decode": lambda value: base64.b64decode(stringify(value)).decode(),
    "base64encode": lambda value: base64.b64encode(stringify(value).encode()).decode(),
    "capitalize": lambda value: stringify(value)[:1].upper() + stringify(value)[1:],
    "chunk": lambda value, size: [value[i : i + size] for i in range(0, len(value), size)],
    "date": format_date,
    "dateAdd": _date_add,
    "default": _default,
    "endsWith": lambda value, suffix: stringify(value).endswith(suffix),
    "first": lambda value: value[0],
    "flatten": _flatten,
    "indent": lambda value, amount: _indent(value, amount),
    "join": lambda value, separator=",": separator.join(map(stringify, value)),
    "json": to_json,
    "keys": lambda value: list(value) if isinstance(value, Mapping) else list(range(len(value))),
    "last": lambda value: value[-1],
    "length": len,
    "lower": lambda value: stringify(value).lower(),
    "md5": _digest("md5"),
    "merge": _merge,
    "nindent": lambda value, amount: _indent(value, amount, lead="\n" + " " * amount),
    "number": _number,
    "replace": _replace,
    "reverse": lambda value: value[::-1],
    "rsort": lambda value: sorted(value, reverse=True),
    "sha1": _digest("sha1"),
    "sha256": _digest("sha256"),
    "sha512": _digest("sha512"),
    "slice": _slice,
    "slugify": _slugify,
    "sort": sorted,
    "split": _split,
    "startsWith": lambda value, prefix: stringify(value).startswith(prefix),
    "string": stringify,
    "substringAfter": lambda value, sep: _partition(value, sep, last=False, after=True),
    "substringAfterLast": lambda value, sep: _partition(value, sep, last=True, after=True),
    "substringBefore": lambda value, sep: _partition(value, sep, last=False, after=False),
    "substringBeforeLast": lambda value, sep: _partition(value, sep, last=True, after=False),
    "timestamp": lambda value: int(moment(value).timestamp()),
    "timestampMilli": lambda value: int(moment(value).timestamp() * 1000),
    "title": lambda value: re.sub(r"\b\w", lambda m: m[0].upper(), stringify(value)),
    "toJson": to_json,
    "trim": lambda value: stringify(value).strip(),
    "upper": lambda value: stringify(value).upper(),
    "urldecode": lambda value: unquote_plus(stringify(value)),
    "urlencode": lambda value: quote_plus(stringify(value)),
    "values": lambda value: list(value.values()),
    "yaml": lambda value: yaml.safe_dump(value, sort_keys=False),
}


def _required(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose input must be there, with its failures told as failures of the expression."""

    def checked(value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, Undefined) and name != "default":
            raise UndefinedError(str(value._undefined_name))
        try:
            return function(value, *args, **kwargs)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            raise RenderError(f"The filter `{name}` cannot be applied: {error}") from error

    return checked


def _is_json(value: Any) -> bool:
    try:
        json.loads(stringify(value))
    except json.JSONDecodeError:
        return False
    return True


def _environment() -> _Environment:
    environment = _Environment(undefined=_Missing, finalize=_defined, keep_trailing_newline=True)
    environment.filters = {name: _required(name, call) for name, call in _FILTERS.items()}
    environment.globals = {"null": None}
    environment.tests = {
        "present": lambda value: not isinstance(value, Undefined) and value is not None,
        "defined": lambda value: not isinstance(value, Undefined) and value is not None,
        "null": lambda value: isinstance(value, Undefined) or value is None,
        "empty": lambda value: _default(value, None) is None,
        "even": lambda value: value % 2 == 0,
        "odd": lambda value: value % 2 == 1,
        "iterable": lambda value: isinstance(value, (list, tuple, Mapping)),
        "map": lambda value: isinstance(value, Mapping),
        "json": _is_json,
        "in": lambda value, container: value in container,
    }
    return environment


_ENVIRONMENT = _environment()
_TAGS = re.compile(r"({%-?\s*)elseif\b")


def evaluate(text: str, variables: Mapping[str, Any]) -> Any:
    """Render a text that holds expressions; a lone expression keeps the type of its value.

    Args:
        text: a template, e.g. `{{ inputs.month | replace({'-': ''}) }}`.
        variables: names that it may use, functions included.

    Raises:
        RenderError: it has a mistake, or uses what is not there.
    """
    if "{" not in text:
        return text
    try:
        template = _ENVIRONMENT.from_string(_TAGS.sub(r"\1elif", text))
        return template.render(dict(variables))
    except UndefinedError as error:
        raise RenderError(
            f"Unable to find `{error.message}` used in the expression `{text}` "
            f"at line {_line(error)}"
        ) from error
    except TemplateSyntaxError as error:
        raise RenderError(f"{error.message} ({text}:{error.lineno})") from error
    except TemplateError as error:
        raise RenderError(f"{error.message} ({text})") from error
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        raise RenderError(f"{error} ({text}:{_line(error)})") from error


def _line(error: Exception) -> int:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == "<template>" and frame.lineno
    ]
    return lines[-1] if lines else 1
