"""JDBC URLs of PostgreSQL, turned into connection strings of libpq.

Source of the URL's form and of the parameters' meaning: the documentation of pgjdbc,
https://jdbc.postgresql.org/documentation/use/
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

from psycopg.conninfo import make_conninfo

_URL = re.compile(
    r"jdbc:postgresql:(?://(?P<hosts>[^/?]*)(?:/(?P<path>[^?]*))?|(?P<name>[^/?]+))?(?:\?(?P<query>.*))?"
)
_HOST = re.compile(r"(?P<host>\[[^\]]+\]|[^:]*)(?::(?P<port>\d+))?")
_RENAMED = {
    "user": "user",
    "password": "password",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslpassword": "sslpassword",
    "connectTimeout": "connect_timeout",
    "loginTimeout": "connect_timeout",
    "ApplicationName": "application_name",
    "options": "options",
    "tcpKeepAlive": "keepalives",
}
# Tuning of the JDBC driver itself: has no counterpart in libpq and changes no result.
_WITHOUT_EFFECT = {
    "reWriteBatchedInserts",
    "prepareThreshold",
    "preparedStatementCacheQueries",
    "defaultRowFetchSize",
    "binaryTransfer",
    "autosave",
    "assumeMinServerVersion",
}


def conninfo(url: str, user: object = None, password: object = None) -> str:
    """The connection string of libpq for a JDBC URL.

    Args:
        url: `jdbc:postgresql://host:port/database?parameter=value`.
        user: login role; wins over the one in the URL.
        password: its password; wins over the one in the URL.

    Raises:
        ValueError: no such URL, or a parameter that is not supported; the message names it.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("URL scheme is invalid. URL should start with `jdbc:postgresql`")
    result = {"host": "localhost", "port": "5432"}
    if hosts := match["hosts"]:
        parsed = [_HOST.fullmatch(entry) for entry in hosts.split(",")]
        if None in parsed:
            raise ValueError(f"the host part {hosts!r} of the JDBC URL is not `host:port`")
        result["host"] = ",".join(found["host"].strip("[]") for found in parsed if found)
        result["port"] = ",".join(found["port"] or "5432" for found in parsed if found)
    if database := match["path"] or match["name"]:
        result["dbname"] = unquote(database)
    for name, value in parse_qsl(match["query"] or "", keep_blank_values=True):
        if name in _RENAMED:
            result[_RENAMED[name]] = {"true": "1", "false": "0"}.get(value, value)
        elif name == "ssl":
            result.setdefault("sslmode", "prefer" if value == "false" else "verify-full")
        elif name == "socketTimeout":
            result["tcp_user_timeout"] = str(int(value) * 1000)
        elif name == "currentSchema":
            result["options"] = f"-csearch_path={value}"
        elif name not in _WITHOUT_EFFECT:
            raise ValueError(f"the JDBC URL parameter `{name}` is not supported")
    if user is not None:
        result["user"] = str(user)
    if password is not None:
        result["password"] = str(password)
    # pgjdbc takes the user's name for a database that is not given; so does libpq.
    return make_conninfo("", **result)
