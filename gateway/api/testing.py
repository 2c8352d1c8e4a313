"""For tests with Flask's client: requests that end as they do under a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask.testing import FlaskClient

from gateway.wire import sse

if TYPE_CHECKING:
    from werkzeug.test import TestResponse


class Client(FlaskClient):
    """Flask's test client. An answer that is all there ends its request; a stream ends it when it is read or closed."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        if response.mimetype != sse.MEDIA_TYPE:
            response.get_data()
            response.close()
        return response
