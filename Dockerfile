# syntax=docker/dockerfile:1
#
# Two stages: one builds an environment from the locked, hashed dependencies and the project's own wheel, the other
# carries that environment and nothing that could compile or install.
#
# No container engine was at hand when this file was written. `make image` carries it out without one: both stages, then the
# start as its user on a read-only root. docs/releasing.md says what that proves, and what it does not.
# The base image is named by tag; pin it by the digest that your registry shows.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/broker && python -m venv /opt/tools
COPY requirements/runtime.txt requirements/dev.txt requirements/
RUN /opt/broker/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/runtime.txt
# The wheel's build back end comes from the same lock as in development.
RUN /opt/tools/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/dev.txt
COPY pyproject.toml README.md LICENSE ./
COPY broker broker
COPY migrations migrations
COPY catalog catalog
RUN /opt/tools/bin/python -m build --wheel --no-isolation --outdir dist . \
    && /opt/broker/bin/python -m pip install --no-deps --no-index dist/*.whl \
    && /opt/broker/bin/python -m pip uninstall --yes pip setuptools \
    && /opt/broker/bin/python -m compileall -q /opt/broker/lib

FROM python:3.11-slim
LABEL org.opencontainers.image.title="azure-service-broker" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 broker \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin broker \
    && python -m pip uninstall --yes pip setuptools wheel
COPY --from=build /opt/broker /opt/broker
ENV PATH=/opt/broker/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BROKER_HOST=0.0.0.0 \
    BROKER_HEALTH_HOST=0.0.0.0
# By number, so that Kubernetes' runAsNonRoot can see that it is not root. Nothing is written but to the database:
# run it with a read-only root file system (SQLite needs a volume).
USER 10001:10001
WORKDIR /
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
ENTRYPOINT ["osb"]
CMD ["serve"]
