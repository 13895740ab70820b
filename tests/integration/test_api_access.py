"""Who may see what over HTTP: keys, tokens and scopes, for every route."""

import asyncio
import json
import re
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from litestar import Litestar

from billing.api.app import KEYS_SECONDS
from billing.api.app import ROUTES as API_ROUTES
from tests.apis import OPERATOR, READ, WRITE, Site, make_site, problem, shown
from tests.command import event

ROUTES = {
    "balance": ("GET", "/v1/accounts/account-1/balance", None),
    "usage": ("GET", "/v1/accounts/account-1/usage?every=day&from=2026-01-01&to=2026-01-02", None),
    "transactions": ("GET", "/v1/accounts/account-1/transactions", None),
    "explain": ("GET", "/v1/accounts/account-1/transactions/event-1/explain", None),
    "explain event": ("POST", "/v1/accounts/account-1/explain", event(1)),
    "balances": ("POST", "/v1/balances", {"accounts": ["account-1"]}),
    "events": ("POST", "/v1/events", event(1)),
    "charged": ("GET", "/v1/accounts/account-1/charged", None),
    "caller": ("GET", "/v1/caller", None),
    "load": ("GET", "/v1/load", None),
    "book": ("GET", "/v1/book", None),
    "shards": ("GET", "/v1/shards", None),
    "openapi": ("GET", "/v1/openapi.json", None),
    "health": ("GET", "/healthz", None),
    "page": ("GET", "/", None),
    "page's file": ("GET", "/page/main.js", None),
}
OPEN_ROUTES = ("openapi", "health", "page", "page's file")
OPERATORS_ROUTES = ("book", "shards", "load")
ISSUER = 'jwks = "jwks.json"\njwt_audience = "billing"\njwt_issuer = "https://issuer.example"\n'


def expected(caller: str, route: str) -> int:
    """Return the status that a caller gets; written apart from the code, case by case."""
    accepted = 202 if route == "events" else 200
    if route in OPEN_ROUTES:
        return 200
    if caller in ("no key", "unknown", "expired", "revoked", "not a bearer"):
        return 401
    if caller == "operator" or route == "caller":
        return 403 if route == "events" else accepted
    if caller == "foreign account":  # may read and write, but another account
        return {"balances": 207}.get(route, 403 if route in OPERATORS_ROUTES else 404)
    if caller == "write-only":
        return accepted if route == "events" else 403
    assert caller == "read-only"
    return 403 if route in ("events", *OPERATORS_ROUTES) else accepted


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Bill twenty events of ten accounts."""
    site = make_site(tmp_path_factory.mktemp("access"), [*map(event, range(20))])
    site.bill()
    return site


def test_every_route_lets_in_whom_it_should_and_nobody_else(site: Site) -> None:
    """A caller would read or change what is not his concern, or be locked out of what is."""
    mine = ["account-1"]
    revoked = site.key(READ, WRITE, OPERATOR, accounts=["*"])
    site.keys.revoke(revoked.split("_")[1], "test", 1)
    callers = {
        "no key": {},
        "unknown": shown("bk_aaaaaaaaaa_" + 43 * "x"),
        "not a bearer": {"authorization": "Basic YTpi"},
        "expired": shown(site.key(READ, WRITE, OPERATOR, accounts=["*"], lasting_us=-1)),
        "revoked": shown(revoked),
        "foreign account": shown(site.key(READ, WRITE, accounts=["account-2", "account-1x", "b*"])),
        "read-only": shown(site.key(READ, accounts=mine)),
        "write-only": shown(site.key(WRITE, accounts=["account-*"])),
        "operator": shown(site.key(OPERATOR)),
    }

    async def play(client: httpx.AsyncClient) -> None:
        for caller, headers in callers.items():
            for route, (method, path, body) in ROUTES.items():
                answer = await client.request(method, path, headers=headers, json=body)
                assert answer.status_code == expected(caller, route), (caller, route, answer.text)
                if answer.status_code >= 400:
                    problem(answer)
                    assert "account-1" not in answer.json()["detail"], "whether it exists is not told"
                if answer.status_code == 401:
                    assert answer.headers["www-authenticate"] == "Bearer"

    site.serve(play)


def test_no_route_is_missing_in_the_list() -> None:
    """A new route could be open to everybody, and nobody would have looked."""
    served = {(route.path_format, method) for route in Litestar(API_ROUTES, openapi_config=None).routes
              for method in getattr(route, "methods", ()) if method != "OPTIONS"}  # fmt: skip
    shapes = {(method, re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path) + "/?")) for path, method in served}
    asked = [(method, path.partition("?")[0]) for method, path, _ in ROUTES.values()]
    for method, shape in shapes:
        assert sum(of == method and shape.fullmatch(path) is not None for of, path in asked) == 1, shape.pattern
    assert len(shapes) + 1 == len(ROUTES), "and the description of the API itself"


def test_a_foreign_account_is_told_as_one_that_never_was(site: Site) -> None:
    """Whoever guesses ids would learn which accounts exist."""
    key = site.key(READ, accounts=["mine*"])
    known, unknown = (site.get(f"/v1/accounts/{name}/balance", key) for name in ("account-1", "nobody-1"))
    assert known.status_code == unknown.status_code == 404
    assert known.json()["detail"] == unknown.json()["detail"]
    assert site.get("/v1/accounts/mine-7/balance", key).status_code == 200


@pytest.mark.parametrize("path", ["account-1%2F..%2Faccount-2", "..%2faccount-2", "account-1/../account-2"])
def test_no_path_leads_around_the_scope(site: Site, path: str) -> None:
    """A caller would reach another account by dots and slashes."""
    key = site.key(READ, accounts=["account-1"])
    answer = site.get(f"/v1/accounts/{path}/balance", key)
    assert answer.status_code in (400, 404), answer.text


def test_an_account_may_have_any_visible_character(site: Site) -> None:
    """An account with a slash or a percent sign in its id could not be read, or another would be."""
    odd = "team/a?b#c%d%2F*"
    answer = site.get(f"/v1/accounts/{quote(odd, safe='')}/balance", site.key(READ, accounts=["team/*"]))
    assert (answer.status_code, answer.json()["account"]) == (200, odd)


def test_a_key_revoked_elsewhere_is_refused_at_the_next_look(site: Site) -> None:
    """A leaked key would go on working until the server is started again."""
    key = site.key(READ, accounts=["*"])

    async def play(client: httpx.AsyncClient) -> list[int]:
        statuses = [(await client.get("/v1/accounts/a/balance", headers=shown(key))).status_code for _ in range(2)]
        await asyncio.to_thread(lambda: site.keys.revoke(key.split("_")[1], "test", 1))
        await asyncio.sleep(KEYS_SECONDS)
        return [*statuses, (await client.get("/v1/accounts/a/balance", headers=shown(key))).status_code]

    assert site.serve(play) == [200, 200, 401]


def test_keys_are_hashed_at_rest(site: Site) -> None:
    """Whoever reads the file, or a copy of it, could call as anybody."""
    key = site.key(READ, accounts=["*"])
    secret = key.split("_", 2)[2].encode()
    held = b"".join(path.read_bytes() for path in site.folder.glob("keys.db*"))
    assert key.split("_")[1].encode() in held
    assert secret not in held
    assert site.found.settings.api.keys.stat().st_mode & 0o077 == 0


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, ed25519.Ed25519PrivateKey, rsa.RSAPrivateKey]:
    """Make a site that accepts the tokens of an issuer with two keys."""
    folder = tmp_path_factory.mktemp("issuer")
    edwards, other = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65_537, 2_048)
    keys = [
        {**json.loads(OKPAlgorithm.to_jwk(edwards.public_key())), "kid": "ed", "alg": "EdDSA"},
        {**json.loads(RSAAlgorithm.to_jwk(other.public_key())), "kid": "rsa", "alg": "RS256"},
    ]
    (folder / "jwks.json").write_text(json.dumps({"keys": keys}))
    return make_site(folder, [], ISSUER), edwards, other


def claims(**changed: object) -> dict[str, object]:
    """Return what a good token says, with changes; None leaves a claim out."""
    good: dict[str, object] = {
        "sub": "app", "aud": "billing", "iss": "https://issuer.example", "exp": int(time.time()) + 600,
        "scope": "read", "accounts": ["acme"],
    }  # fmt: skip
    return {name: value for name, value in (good | changed).items() if value is not None}


def test_tokens_open_what_they_say_and_bad_ones_nothing(
    issuer: tuple[Site, ed25519.Ed25519PrivateKey, rsa.RSAPrivateKey],
) -> None:
    """A forged, old or foreign token would be let in, or a good one kept out."""
    site, edwards, other = issuer
    good = jwt.encode(claims(), edwards, "EdDSA", {"kid": "ed"})
    public = other.public_key().public_numbers().n.to_bytes(256, "big")
    stranger = ed25519.Ed25519PrivateKey.generate()
    tokens = {
        "ed25519": (good, 200),
        "rsa": (jwt.encode(claims(), other, "RS256", {"kid": "rsa"}), 200),
        "expired": (jwt.encode(claims(exp=int(time.time()) - 60), edwards, "EdDSA", {"kid": "ed"}), 401),
        "not yet": (jwt.encode(claims(nbf=int(time.time()) + 600), edwards, "EdDSA", {"kid": "ed"}), 401),
        "without end": (jwt.encode(claims(exp=None), edwards, "EdDSA", {"kid": "ed"}), 401),
        "for another": (jwt.encode(claims(aud="other"), edwards, "EdDSA", {"kid": "ed"}), 401),
        "of another": (jwt.encode(claims(iss="https://evil.example"), edwards, "EdDSA", {"kid": "ed"}), 401),
        "alg none": (jwt.encode(claims(), None, "none", {"kid": "ed"}), 401),
        "public key as secret": (jwt.encode(claims(), public, "HS256", {"kid": "rsa"}), 401),
        "unknown kid": (jwt.encode(claims(), edwards, "EdDSA", {"kid": "other"}), 401),
        "no kid": (jwt.encode(claims(), edwards, "EdDSA"), 401),
        "stranger's": (jwt.encode(claims(), stranger, "EdDSA", {"kid": "ed"}), 401),
        "cut": (good[:-6], 401),
        "changed": (".".join([good.split(".")[0], good.split(".")[1][:-2] + "AA", good.split(".")[2]]), 401),
        "no scope": (jwt.encode(claims(scope="openid"), edwards, "EdDSA", {"kid": "ed"}), 403),
        "foreign account": (jwt.encode(claims(accounts=["globex"]), edwards, "EdDSA", {"kid": "ed"}), 404),
        "odd accounts": (jwt.encode(claims(accounts="acme"), edwards, "EdDSA", {"kid": "ed"}), 401),
        "dots": ("..", 401),
        "huge": ("a." * 20_000, 401),
    }

    async def play(client: httpx.AsyncClient) -> dict[str, int]:
        path = "/v1/accounts/acme/balance"
        return {name: (await client.get(path, headers=shown(one))).status_code for name, (one, _) in tokens.items()}

    assert site.serve(play) == {name: status for name, (_, status) in tokens.items()}


def test_a_deployment_without_an_issuer_accepts_no_token(site: Site) -> None:
    """Any well-formed token would open a server that nobody told whom to trust."""
    token = jwt.encode(claims(), "secret-that-is-long-enough-for-hs256", "HS256")
    assert site.get("/v1/accounts/acme/balance", token).status_code == 401


def test_an_issuer_without_keys_stops_the_start(tmp_path: Path) -> None:
    """A server would start and then refuse every token, with no word of why."""
    (tmp_path / "jwks.json").write_text("{}")
    site = make_site(tmp_path, [], ISSUER)
    with pytest.raises(Exception, match="has no public keys"):
        site.get("/healthz")
