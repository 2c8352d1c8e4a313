"""Flask without what this service has no use for, which would cost each request more than all that is left of it:
sessions, coroutines, the search for a route whose path says it all, and headers that are looked through once more."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.datastructures import Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask.testing import FlaskClient
    from werkzeug.routing import MapAdapter, Rule

_NO_SESSION = NullSession()


class _NoSessions(SessionInterface):
    def open_session(self, app: Flask, request: Request) -> NullSession:
        return _NO_SESSION


class _Found:
    """The route of a path that only one has; stands in for werkzeug's adapter, which would search."""

    def __init__(self, rule: Rule) -> None:
        self._match = rule, dict[str, Any]()

    def match(self, return_rule: bool = True) -> tuple[Rule, dict[str, Any]]:
        return self._match


class LeanFlask(Flask):
    """A Flask for views without sessions and coroutines."""

    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def test_client(self, use_cookies: bool = True, **kwargs: Any) -> FlaskClient:
        from gateway.api.testing import Client  # brings a debugger along, of which no worker has need

        self.test_client_class = self.test_client_class or Client
        return super().test_client(use_cookies, **kwargs)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None or request.environ["REQUEST_METHOD"] != "POST":
            return super().create_url_adapter(request)
        found: Any = self._posts.get(request.environ.get("PATH_INFO", ""))
        return found or super().create_url_adapter(request)

    @cached_property
    def _posts(self) -> dict[str, _Found]:
        rules = [rule for rule in self.url_map.iter_rules() if "POST" in (rule.methods or ()) and not rule.arguments]
        return {rule.rule: _Found(rule) for rule in rules}


class _Ours(Headers):
    """Headers that the gateway writes itself, as texts. The server looks at each of them on its way out, and nobody
    need do so before."""

    def extend(self, pairs: Any = (), /, **others: str) -> None:
        self._list.extend([*pairs, *others.items()])


class Whole(Response):
    """A response that is all there, and its headers with it.

    Args:
        body: its body.
        headers: by name, but for the body's type and length.
    """

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        both = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        super().__init__([body], headers=_Ours(both.items()))

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers
