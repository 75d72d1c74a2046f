"""What a person does in pgAdmin: log in, and click on each registered server."""

import re

import httpx


def connect_servers(address: str, email: str, password: str, group: int) -> dict[str, str]:
    """Logs in, connects every server of a group, and returns what pgAdmin says of each.

    Args:
        address: where pgAdmin answers.
        email: the login.
        password: its password.
        group: the number of the server group.
    """
    with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as browser:
        token = _find(r'csrfToken&?#?\w*;?": "([^"]+)"', browser.get("/login").text)
        login = {"email": email, "password": password, "csrf_token": token}
        page = browser.post("/authenticate/login", data=login)
        assert page.url.path == "/browser/", "the login was refused"
        script = browser.get("/browser/js/utils.js").text
        browser.headers["X-pgA-CSRFToken"] = _find(r"\['csrf_token'\] = '([^']+)'", script)
        servers = browser.get(f"/browser/server/nodes/{group}/").json()["result"]
        return {server["label"]: _connect(browser, group, server["_id"]) for server in servers}


def _connect(browser: httpx.Client, group: int, server: int) -> str:
    # Without a password in the request pgAdmin has to have one of its own.
    return str(browser.post(f"/browser/server/connect/{group}/{server}", json={}).json()["info"])


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, f"no {pattern} in the page"
    return match[1]
