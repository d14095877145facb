"""Secrets are compared in constant time: by libraries that do, and with no operator, which stops where they differ."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import itsdangerous.signer
import pytest
import stripe
import stripe._util

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((*(ROOT / "functions").rglob("*.py"), ROOT / "main.py"))
#: What names of secrets, and of what proves that somebody has one, are made of.
WORDS = {
    *("secret", "secrets", "signature", "signatures", "token", "tokens", "bearer", "password", "hmac", "mac"),
    *("api_key", "cookie", "session_cookie", "credential", "credentials"),
}
#: Comparisons that are with no secret, and why.
ALLOWED = {
    "functions/marketing/links.py": {
        # A signature beside itself, spelled anew: nothing of the right one is involved.
        "base64_encode(base64_decode(signature)).decode() == signature",
    },
}


def names_in(node: ast.AST) -> Iterator[str]:
    """Everything inside that has a name."""
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                yield name.lower()
            case _:
                pass


def is_secret(name: str) -> bool:
    """Whether a name says that it is a secret."""
    return name in WORDS or any(f"_{word}_" in f"_{name}_" for word in WORDS)


def comparisons(source: str) -> Iterator[str]:
    """Every comparison of something whose name says that it is secret. What stands in the source is no secret."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare) or not any(map(is_secret, names_in(node))):
            continue
        if any(isinstance(each, ast.Constant) for each in (node.left, *node.comparators)):
            continue
        if any(isinstance(each, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for each in node.ops):
            yield ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_operator_compares_a_secret(path: Path) -> None:
    found = set(comparisons(path.read_text("utf-8")))
    assert found == ALLOWED.get(str(path.relative_to(ROOT)), set())


@pytest.mark.parametrize(
    "source",
    [
        "if token == expected: pass",
        "if request.headers['Authorization'] != settings.identity_token: pass",
        "ok = given in settings.secrets",
        "ok = header == 'Bearer ' + bearer",
    ],
)
def test_a_comparison_that_leaks_is_found(source: str) -> None:
    assert list(comparisons(source))


@pytest.mark.parametrize(
    "source",
    ["if token is None: pass", "if hmac.compare_digest(token, expected): pass", "a == b", "kind == 'id_token'"],
)
def test_a_comparison_that_does_not_leak_is_not(source: str) -> None:
    assert not list(comparisons(source))


def test_the_libraries_compare_in_constant_time() -> None:
    assert "secure_compare" in inspect.getsource(stripe.WebhookSignature.verify_header)
    assert "hmac.compare_digest" in inspect.getsource(stripe._util)
    assert "hmac.compare_digest" in inspect.getsource(itsdangerous.signer)
