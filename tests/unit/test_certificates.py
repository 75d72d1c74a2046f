"""The authority of a stack: what depends on the date, and what does not."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from infra.certificates import Authority, Issued

AUTHORITY = Authority("a secret", "docker.example.com")
NAMES = ["kestra.docker.example.com", "docker.example.com"]
# Days after the first one that a certificate is valid.
DAYS = (0, 1, 181, 182, 200, 3650)


def issue(day: int, authority: Authority = AUTHORITY, name: str = "gateway") -> Issued:
    return authority.issue(name, NAMES, date(day))


def date(day: int) -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)


def load(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def verify(certificate: str, host: str, day: int, root: str | None = None) -> None:
    """Verifies a certificate as a browser does."""
    store = Store([load(root or AUTHORITY.root())])
    verifier = PolicyBuilder().store(store).time(date(day))
    verifier.build_server_verifier(x509.DNSName(host)).verify(load(certificate), [])


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("host", NAMES)
def test_a_certificate_is_valid_for_its_names_and_half_a_year_at_least(day: int, host: str):
    for later in (0, 182):
        verify(issue(day).certificate, host, day + later)


@pytest.mark.parametrize(
    ("host", "day", "root"),
    [
        ("pgadmin.docker.example.com", 0, None),
        (NAMES[0], -1, None),
        (NAMES[0], 366, None),
        (NAMES[0], 0, Authority("another secret", "docker.example.com").root()),
    ],
    ids=["another host", "too early", "expired", "another authority"],
)
def test_a_certificate_is_valid_for_nothing_else(host: str, day: int, root: str | None):
    with pytest.raises(VerificationError):
        verify(issue(0).certificate, host, day, root)


def test_the_authority_signs_for_no_other_domain():
    foreign = AUTHORITY.issue("gateway", ["bank.example.org"], date(0))
    with pytest.raises(VerificationError):
        verify(foreign.certificate, "bank.example.org", 0)


def test_a_certificate_is_renewed_each_half_year_and_its_key_stays():
    certificates = [issue(day) for day in DAYS]
    assert len({item.certificate for item in certificates}) == 3
    assert len({load(item.certificate).serial_number for item in certificates}) == 3
    assert len({item.key for item in certificates}) == 1


def test_servers_and_stacks_share_no_key():
    other = Authority("another secret", "docker.example.com")
    keys = {issue(0, *args).key for args in ((), (AUTHORITY, "postgres"), (other, "gateway"))}
    assert len(keys) == 3


def test_a_long_host_name_fits():
    domain = ".".join(["a" * 60] * 3)
    authority = Authority("a secret", domain)
    certificate = authority.issue("gateway", [domain], date(0)).certificate
    verify(certificate, domain, 0, authority.root())
