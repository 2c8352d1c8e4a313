"""What each variable may hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.config import Settings
from gateway.config.secrets import BLOT, Redactor
from tests.unit.config.test_loading import mistakes

MakeSettings = Callable[..., Settings]
ENCODED = "in a password, @ / ? # and % are written percent-encoded, as %40"


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"API_KEY": ""}, "API_KEY: is not set. It holds the key(s) that clients must show, comma separated"),
        ({"API_KEY": "a,,b"}, "API_KEY: holds an empty key; separate keys by single commas"),
        ({"API_KEY": "a,a"}, "API_KEY: holds the same key twice"),
        ({"API_KEY": "kéy"}, "API_KEY: a key may only hold visible ASCII characters"),
        ({"PORT": "http"}, "PORT: must be a whole number"),
        ({"PORT": "70000"}, "PORT: must be greater than or equal to 0 and less than or equal to 65535"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY: must be greater than or equal to 1 and less than or equal to 1024"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: must be one of: DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ({"LOG_PROMPTS": "perhaps"}, "LOG_PROMPTS: must be true or false"),
        ({"MAX_BODY_BYTES": "1.5"}, "MAX_BODY_BYTES: must be a whole number"),
        ({"GRACEFUL_TIMEOUT": "-1"}, "GRACEFUL_TIMEOUT: must be greater than or equal to 1 and less than or equal to 86400"),
        ({"METRICS_PORT": "8000"}, "METRICS_PORT: is 8000 like PORT; the metrics need a port of their own"),
        ({"DRAIN_DELAY": "soon"}, "DRAIN_DELAY: must be a whole number"),
        ({"CACHE_TTL": "-1"}, "CACHE_TTL: must be greater than or equal to 0 and less than or equal to 31536000"),
        ({"REDIS_URL": "localhost:6379"}, f"REDIS_URL: must be an address such as redis://host:6379/0, rediss://… or unix:///path; {ENCODED}"),
        ({"DATABASE_URL": "mysql://host/db"}, f"DATABASE_URL: must be an address such as postgresql://user:password@host:5432/database; {ENCODED}"),
        ({"DATABASE_URL": "postgresql://host:x/db"}, f"DATABASE_URL: must be an address such as postgresql://user:password@host:5432/database; {ENCODED}"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES: must be addresses and networks, separated by commas: 10.0.0.1/8 has host bits set"),
        ({"METRICS_TOKEN": "\udcff"}, "METRICS_TOKEN: may only hold printable characters"),
        ({"HOST": "a b"}, "HOST: must be an address or a name, without a port"),
        ({"LOG_FILE": "/nowhere/log"}, "LOG_FILE: cannot be written: No such file or directory"),
        ({"LOG_FILE": "/tmp"}, "LOG_FILE: cannot be written: Is a directory"),
        ({"GATEWAY_CONFIG": "nowhere.yaml"}, "GATEWAY_CONFIG: there is no file nowhere.yaml"),
        ({"OPENAI_BASE_URL": "ftp://x"}, "OPENAI_BASE_URL: must be an address such as https://host/v1"),
        ({"OPENAI_BASE_URL": "http://u:p@x/v1"}, "OPENAI_BASE_URL: must not hold a password; give the key as api_key"),
        ({"OPENAI_API_KEY": "a\nb"}, "OPENAI_API_KEY: may only hold visible ASCII characters"),
        (
            {"AZURE_OPENAI_API_KEY": "k"},
            "AZURE_OPENAI_BASE_URL: azure needs its base_url, since its address is the customer's own",
        ),
    ],
)  # fmt: skip
def test_a_wrong_variable_gets_one_line_with_its_name(
    variables: dict[str, str], line: str, make_settings: MakeSettings
) -> None:
    assert mistakes(make_settings, **variables) == [line]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        *(("DATABASE_URL", f"postgresql://u:{password}@127.0.0.1:1/db")
          for password in ("S3cret@Pw0rd", "12/S3cret", "12?S3cret", "12#S3cret", "[S3cret")),
        *(("REDIS_URL", f"redis://:{password}@127.0.0.1:1/0")
          for password in ("S3cret@Pw0rd", "S3cret/x", "S3cret?x", "S3cret#x", "[S3cret")),
        *(("REDIS_URL", f"redis://u:{password}@h/0") for password in ("12/S3cret", "12?S3cret", "12#S3cret")),
        ("REDIS_URL", "redis://h/0?db=S3cret"), ("REDIS_URL", "redis://h/S3cret"), ("REDIS_URL", "redis://h/0?S3cret"),
    ],
)  # fmt: skip
def test_an_address_that_would_be_misread_is_refused_and_nothing_of_it_is_told(
    name: str, url: str, make_settings: MakeSettings
) -> None:
    (line,) = mistakes(make_settings, **{name: url})
    assert line.startswith(f"{name}: must be an address such as ")
    assert line.endswith(ENCODED)
    assert "S3cret" not in line
    assert "Pw0rd" not in line


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://u:p:%40%2F%3F%23@h1:1,h2:2/db?sslmode=require"),
        ("DATABASE_URL", "postgresql:///db?host=/run/postgresql&user=u@server"),
        ("REDIS_URL", "redis://:p%40%2F%3F%23@h"), ("REDIS_URL", "rediss://h/?db=1&ssl_cert_reqs=none"),
        ("REDIS_URL", "unix://u:p@/run/redis.sock?db=2"),
    ],
)  # fmt: skip
def test_an_address_that_is_written_as_it_should_be_is_taken(name: str, url: str, make_settings: MakeSettings) -> None:
    settings = make_settings(**{name: url})
    assert url in [secret.reveal() for secret in (settings.database_url, settings.redis_url) if secret]


def test_a_redis_password_is_never_told(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_URL="redis://:s3cret%2Fpass@127.0.0.1/0")
    assert Redactor(settings.secrets).text("AUTH s3cret/pass") == f"AUTH {BLOT}"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("where", ["//u:s3cret%2Fpass@h1,h2:5432/db", "//h/db?user=u&password=s3cret%2Fpass"])
def test_a_databases_password_is_never_told(where: str, make_settings: MakeSettings) -> None:
    settings = make_settings(DATABASE_URL=f"postgresql:{where}")
    assert Redactor(settings.secrets).text("user u, s3cret/pass") == f"user u, {BLOT}"
    assert "s3cret" not in repr(settings)


def test_the_environments_ttl_wins_over_the_files(make_settings: MakeSettings) -> None:
    assert make_settings("cache: {ttl: 300}", CACHE_TTL="0").cache_ttl == 0
