# docker build --tag prod-ai-api .

# The Python that the tests run on. The digest decides, the tag says what it is: change them together.
FROM python:3.11.17-slim-bookworm@sha256:0a310eeecf4e1f5a0743f9a6520c90c88d089c903ca5fd283f501e3a805f5f89 AS python

FROM python AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.lock ./
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: --requirement requirements.lock
COPY tokenizers.lock ./
COPY deploy/tokenizers deploy/
RUN sh deploy/tokenizers /opt/venv/bin/python
COPY pyproject.toml setup.cfg README.md ./
COPY gateway gateway
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation .

FROM python
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="prod-ai-api" \
      org.opencontainers.image.description="One address and one key between applications and LLM providers" \
      org.opencontainers.image.version="$VERSION"
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY wsgi.py gunicorn.conf.py ./
# A checkout made under a strict umask must not become an image that only root can read.
RUN chmod a+r ./* && install -d -m 700 -o 10001 -g 10001 /data
VOLUME /data
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# http.client, since urllib would ask the environment's proxy for 127.0.0.1.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', os.environ['PORT'], timeout=4); c.request('GET', '/health'); exit(c.getresponse().status != 200)"]
CMD ["gunicorn", "wsgi:app"]
