#!/venv/bin/python3
"""Starts pgAdmin under gunicorn, and sets its data directory up first if there is none.

The variables, paths and refusals are those of the image "dpage/pgadmin4":
https://www.pgadmin.org/docs/pgadmin4/latest/container_deployment.html
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path("/pgadmin4")
DATA = Path("/var/lib/pgadmin")
UNSUPPORTED = (
    "PGADMIN_ENABLE_TLS",
    "PGADMIN_ENABLE_SOCK",
    "PGADMIN_CONFIG_SERVER_MODE",
    "PGADMIN_CONFIG_CONFIG_DATABASE_URI",
    "PGADMIN_CUSTOM_CONFIG_DISTRO_FILE",
    "PGADMIN_PREFERENCES_JSON_FILE",
    "PUID",
    "PGID",
)


def write_config() -> None:
    """Turns each PGADMIN_CONFIG_<NAME>, a Python literal, into pgAdmin's setting <NAME>."""
    settings = {
        "CA_FILE": "'/etc/ssl/certs/ca-certificates.crt'",
        "LOG_FILE": "'/dev/null'",
        "HELP_PATH": "'../../docs/en_US/_build/html'",
        "DEFAULT_BINARY_PATHS": "{'pg': '/usr/local/pgsql-17', 'pg-17': '/usr/local/pgsql-17'}",
    }
    prefix = "PGADMIN_CONFIG_"
    for name, value in os.environ.items():
        if name.startswith(prefix):
            literal = value.capitalize() if value.lower() in ("true", "false") else value
            settings[name.removeprefix(prefix)] = literal
    lines = (f"{name} = {value}\n" for name, value in settings.items())
    HOME.joinpath("config_distro.py").write_text("".join(lines))


def secret(name: str) -> str:
    """Returns variable `name`, or what the file holds that `<name>_FILE` names.

    Raises:
        SystemExit: if both are set, or the file cannot be read.
    """
    value, file = os.environ.get(name, ""), os.environ.pop(f"{name}_FILE", "")
    if value and file:
        sys.exit(f"error: both {name} and {name}_FILE are set (but are exclusive)")
    try:
        return Path(file).read_text().rstrip("\n") if file else value
    except OSError:
        sys.exit(f'error: {name}_FILE is set to "{file}" but the file cannot be read')


def load_servers(email: str, *options: str) -> None:
    """Registers the servers of the JSON file, if there is one, for the user `email`."""
    servers = Path(os.environ.get("PGADMIN_SERVER_JSON_FILE", HOME / "servers.json"))
    if servers.is_file():
        pgadmin_setup("load-servers", str(servers), "--user", email, *options)


def pgadmin_setup(*arguments: str, **variables: str) -> None:
    """Runs pgAdmin's own setup command.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    command = [sys.executable, str(HOME / "setup.py"), *arguments]
    subprocess.run(command, check=True, env=os.environ | variables)


def set_up(email: str, password: str) -> None:
    """Makes the configuration database with its first user, servers and password file."""
    if not email or not password:
        sys.exit(
            "You need to define the PGADMIN_DEFAULT_EMAIL and PGADMIN_DEFAULT_PASSWORD or "
            "PGADMIN_DEFAULT_PASSWORD_FILE environment variables."
        )
    sys.path.append(str(HOME / "pgadmin/utils"))  # the package itself would load the whole app
    from validation_utils import validate_email

    if not validate_email(email):
        sys.exit(
            f"'{email}' does not appear to be a valid email address. Please reset the "
            "PGADMIN_DEFAULT_EMAIL environment variable and try again."
        )
    pgadmin_setup("setup-db", PGADMIN_SETUP_EMAIL=email, PGADMIN_SETUP_PASSWORD=password)
    load_servers(email)
    passfile = Path(os.environ.get("PGPASS_FILE", ""))
    if passfile.is_file():
        storage = DATA / "storage" / email.replace("@", "_")
        storage.mkdir(parents=True, exist_ok=True)
        # libpq ignores a password file that others may read.
        shutil.copyfile(passfile, storage / ".pgpass")
        storage.joinpath(".pgpass").chmod(0o600)


def main() -> None:
    """Sets up what is missing and becomes gunicorn."""
    for name in UNSUPPORTED:
        if os.environ.get(name):
            sys.exit(f"{name} is not supported by this image.")
    write_config()
    email = os.environ.get("PGADMIN_DEFAULT_EMAIL", "")
    password = secret("PGADMIN_DEFAULT_PASSWORD")
    if not DATA.joinpath("pgadmin4.db").exists():
        set_up(email, password)
    elif os.environ.get("PGADMIN_REPLACE_SERVERS_ON_STARTUP") == "True":
        load_servers(email, "--replace")

    import config  # pgAdmin's, with what was written above

    environment = os.environ.get
    address = environment("PGADMIN_LISTEN_ADDRESS", "[::]")
    port = environment("PGADMIN_LISTEN_PORT", "80")
    # pgAdmin keeps its sessions in one process; a worker may be as silent as a session is long.
    options = {
        "--bind": f"{address}:{port}",
        "--workers": "1",
        "--threads": environment("GUNICORN_THREADS", "25"),
        "--timeout": str(int(config.SESSION_EXPIRATION_TIME * 24 * 60 * 60)),
        "--access-logfile": environment("GUNICORN_ACCESS_LOGFILE", "-"),
        "--limit-request-line": environment("GUNICORN_LIMIT_REQUEST_LINE", "8190"),
        "--limit-request-fields": environment("GUNICORN_LIMIT_REQUEST_FIELDS", "100"),
        "--limit-request-field_size": environment("GUNICORN_LIMIT_REQUEST_FIELD_SIZE", "8190"),
    }
    arguments = [word for option in options.items() for word in option]
    os.execv("/venv/bin/gunicorn", ["gunicorn", *arguments, "pgAdmin4:app"])


if __name__ == "__main__":
    main()
