"""What is no HTTP that we take, before there is a request."""

from __future__ import annotations

from gateway.errors.base import GatewayError


class InvalidHttp(GatewayError):
    status = 400
    code = "invalid_http"
    type = "invalid_request_error"
    default_message = "This is not a valid HTTP/1.1 request: its request line, a header or the framing is wrong."


class UriTooLong(InvalidHttp):
    status = 414
    code = "uri_too_long"
    default_message = "The request line is too long."


class UnsupportedExpectation(InvalidHttp):
    status = 417
    code = "unsupported_expectation"
    default_message = "Of the header Expect only '100-continue' is supported."


class HeadersTooLarge(InvalidHttp):
    status = 431
    code = "headers_too_large"
    default_message = "There are too many headers, or one of them is too long."


class UnsupportedTransferCoding(InvalidHttp):
    status = 501
    code = "unsupported_transfer_coding"
    default_message = "Of transfer codings only 'chunked' is supported."
