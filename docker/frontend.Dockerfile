# The HTTP API alone: no torch, no Triton. Runs with a read-only root; see compose.yaml.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    # of no use beside PYTHONPYCACHEPREFIX, see below
    && find /usr/lib/python3* -name __pycache__ -prune -exec rm -r {} +

FROM python AS dependencies
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/venv \
    && echo /opt/tritonreel > "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tritonreel.pth"
WORKDIR /opt/requirements
COPY pyproject.toml constraints.txt docker/requirements.py ./
RUN /opt/build/bin/pip install --no-cache-dir -c constraints.txt setuptools \
    && python3 requirements.py pyproject.toml providers > requirements.txt \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
       -c constraints.txt -r requirements.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && find /opt/venv \( -name '*.pyi' -o -name 'redoc*.js' \) -delete \
    # not those of `*.libs`, which a strip would break
    && find /opt/venv -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} +

# What changes often comes last, and is small.
FROM dependencies AS package
WORKDIR /opt/tritonreel
COPY pyproject.toml README.md LICENSE ./
COPY protocol protocol
COPY tracing tracing
COPY frontend frontend
# compiles what a start imports, of the libraries too, and no more
RUN /opt/build/bin/python -c 'import setuptools; setuptools.setup()' --quiet egg_info \
    && PYTHONPYCACHEPREFIX=/opt/compiled /opt/venv/bin/python -m frontend --help > /dev/null

FROM python
LABEL org.opencontainers.image.title="Tritonreel frontend" \
      org.opencontainers.image.description="The HTTP API of Tritonreel, in front of a Triton server elsewhere" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent tritonreel \
    && install -d -o tritonreel -g tritonreel /data
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=package /opt/tritonreel /opt/tritonreel
COPY --from=package /opt/compiled /opt/compiled
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPYCACHEPREFIX=/opt/compiled \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TRITONREEL_HOST=0.0.0.0 \
    TRITONREEL_PORT=8000 \
    TRITONREEL_STORAGE=/data/storage \
    TRITONREEL_SPOOL=/data/spool \
    TRITONREEL_KEYS_FILE=/data/keys.json \
    TRITONREEL_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Healthy once a job would run: Triton, its models and the database of jobs answer.
HEALTHCHECK --interval=10s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['TRITONREEL_PORT'] + '/health', timeout=9)"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "frontend"]
