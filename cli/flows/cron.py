"""Cron expressions of schedules."""

import re
from collections.abc import Iterator, Sequence

_MONTHS = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
]  # fmt: skip
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_Field = tuple[str, int, int, Sequence[str]]
# As io.kestra.plugin.core.trigger.Schedule documents; `withSeconds` puts seconds before the rest.
_SECONDS: _Field = ("second", 0, 59, ())
_FIELDS: tuple[_Field, ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_NICKNAMES = (
    "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly",
)  # fmt: skip
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def cron_errors(text: str, *, with_seconds: bool) -> Iterator[str]:
    """Yields what is wrong with a cron expression.

    Args:
        text: the expression.
        with_seconds: whether its first field is that of the seconds.
    """
    if text in _NICKNAMES:
        return
    fields = (_SECONDS, *_FIELDS) if with_seconds else _FIELDS
    values = text.split()
    if len(values) != len(fields):
        yield f'has the cron expression "{text}" with {len(values)} fields, not {len(fields)}'
        return
    for value, field in zip(values, fields, strict=True):
        for part in value.split(","):
            if not _is_valid(part, *field):
                name, least, most, _ = field
                yield (
                    f'has "{part}" as the {name} of the cron expression "{text}", which must be '
                    f"from {least} to {most}"
                )


def _is_valid(part: str, name: str, least: int, most: int, names: Sequence[str]) -> bool:
    if part == "L":
        return name == "day of the month"
    if not (found := _PART.fullmatch(part)):
        return False
    first, last, period = found.groups()
    ends = [
        names.index(end.upper()) + least if end.upper() in names else int(end)
        for end in (first, last)
        if end and (end.upper() in names or end.isdecimal())
    ]
    return (
        len(ends) == sum(1 for end in (first, last) if end)
        and all(least <= end <= most for end in ends)
        and ends == sorted(ends)
        and (period is None or 1 <= int(period) <= most)
    )
