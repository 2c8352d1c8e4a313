"""Fields that no client may send in any dialect: they tell an SDK or a gateway whom to call, with which credential,
at what price and what to do on failure. Ours would not heed them; one that stands behind us might."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.errors import InvalidField

STEERING = frozenset({
    # whom to call
    "api_base", "base_url", "api_url", "api_host", "api_endpoint", "endpoint", "endpoint_url", "server_url",
    "deployment_url", "deployment_id", "region_name", "custom_llm_provider", "default_query", "extra_query",
    "proxy", "proxies", "http_proxy", "https_proxy", "proxy_url", "proxy_server_request", "use_litellm_proxy",
    # as whom
    "api_key", "api_type", "api_version", "organization", "organization_id", "project", "headers", "extra_headers",
    "default_headers", "auth", "authorization", "credentials", "token", "access_token", "api_token", "client_id",
    "client_secret", "tenant_id", "secret_fields", "workload_identity", "webhook_secret",
    # with what
    "extra_body", "client", "http_client", "shared_session", "ssl_verify", "verify_ssl", "verify", "cert",
    "user_config", "model_list", "model_info", "base_model", "specific_deployment", "drop_params",
    "additional_drop_params", "allowed_openai_params", "configurable_clientside_auth_params",
    # how long and how often
    "timeout", "request_timeout", "stream_timeout", "max_retries", "num_retries", "retry_policy", "retry_strategy",
    "fallbacks", "default_fallbacks", "context_window_fallbacks", "context_window_fallback_dict",
    "content_policy_fallbacks", "disable_fallbacks", "allowed_fails", "cooldown_time",
    # at what price, within what limits
    "max_budget", "budget_duration", "tpm", "rpm", "max_parallel_requests",
    # and who is told
    "callbacks", "input_callback", "success_callback", "failure_callback", "service_callback", "logger_fn",
    "slack_webhook_url", "no-log", "turn_off_message_logging", "disable_global_guardrails",
})  # fmt: skip
_PREFIXES = (
    "aws_", "azure_", "vertex_", "bedrock_", "sagemaker_", "watsonx_", "s3_", "gcs_", "litellm_", "user_api_key",
    "langfuse_", "langsmith_", "mock_", "input_cost_per_", "output_cost_per_",
)  # fmt: skip
_SUFFIXES = ("_api_key", "_api_base", "_base_url")


def refuse_steering(names: Iterable[str]) -> None:
    """Raise InvalidField if one of `names`, fields that the dialect does not know, would steer a gateway."""
    for name in names:
        if name in STEERING or name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
            raise InvalidField(
                f"{name[:64]!r} is not taken from clients: it would steer the gateway.",
                param=name[:64],
                code="unknown_parameter",
            )
