# The edge router: bootstrap only, so without what engines need. Build from the repository's root:
#   docker build -f docker/edge.Dockerfile -t electrons-edge .
ARG PYTHON_VERSION=3.11
FROM docker.io/library/python:${PYTHON_VERSION}-slim AS base

FROM base AS dependencies
# A layer of its own, so that a new release does not send the dependencies again.
# pip's own settings, for builds without an index: PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml docker/dependencies.py docker/prune_packages.py ./
RUN python -m venv --without-pip /opt/electrons \
 && python dependencies.py pyproject.toml --without numpy safetensors uvloop > requirements.txt \
 && python -m pip --python /opt/electrons/bin/python install --no-compile -r requirements.txt \
 && /opt/electrons/bin/python prune_packages.py

FROM dependencies AS application
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
# .dockerignore lets nothing in but what is shipped.
COPY . .
RUN python -m pip --python /opt/electrons/bin/python install --no-compile --no-deps --root /stage . \
 && /opt/electrons/bin/python prune_packages.py /stage

FROM base
LABEL org.opencontainers.image.title="Distributed Electrons edge router" \
      org.opencontainers.image.licenses="MIT"
COPY --from=dependencies /opt/electrons /opt/electrons
COPY --from=application /stage/ /
COPY --chmod=0644 docker/health_check.py /opt/electrons/health_check.py
ENV PATH=/opt/electrons/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# It keeps nothing on disk.
USER 10001:10001
EXPOSE 7719
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/opt/electrons/bin/python", "-I", "/opt/electrons/health_check.py", "http://127.0.0.1:7719"]
ENTRYPOINT ["electrons"]
CMD ["edge", "--host", "0.0.0.0", "--port", "7719"]
