# tritonserver of the nvidia-pytriton wheel under our launcher, with the exporter and the toy checkpoints; needs no GPU.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 libpython3.11 tini \
    && rm -rf /var/lib/apt/lists/*

FROM python AS dependencies
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/venv \
    && echo /opt/tritonreel > "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tritonreel.pth"
WORKDIR /opt/requirements
COPY pyproject.toml constraints.txt docker/requirements.py ./
# where wheels of torch's CPU build are: PyPI has the one for CUDA, which takes gigabytes more
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu/torch/
RUN /opt/build/bin/pip install --no-cache-dir -c constraints.txt setuptools \
    && python3 requirements.py pyproject.toml toy > requirements.txt \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --find-links "${TORCH_WHEELS}" \
       -c constraints.txt -r requirements.txt

# What changes often comes last, and is small.
FROM dependencies AS package
WORKDIR /opt/tritonreel
COPY pyproject.toml README.md LICENSE ./
COPY toy toy
COPY backends backends
COPY model_repository model_repository
COPY protocol protocol
COPY tracing tracing
COPY frontend frontend
COPY pipelines pipelines
COPY runtime runtime
COPY export export
COPY launcher launcher
RUN /opt/build/bin/python -c 'import setuptools; setuptools.setup()' --quiet egg_info \
    && python3 -m compileall -q .

FROM python
LABEL org.opencontainers.image.title="Tritonreel Triton, CPU" \
      org.opencontainers.image.description="Triton Inference Server with Tritonreel's models, on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent tritonreel \
    && install -d -o tritonreel -g tritonreel /models /run/tritonreel
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=package /opt/tritonreel /opt/tritonreel
# Triton's ports ask for no key: publish them to nobody but a frontend.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TRITONREEL_TRITON_HOST=0.0.0.0 \
    TRITONREEL_GRPC_PORT=8001 \
    TRITONREEL_METRICS_PORT=8002 \
    TRITONREEL_MODEL_REPOSITORY=/models/repository \
    TRITONREEL_LORA_DIR=/loras \
    TRITONREEL_RUN_DIR=/run/tritonreel
USER 10001:10001
WORKDIR /opt/tritonreel
VOLUME /models
EXPOSE 8001 8002
HEALTHCHECK --interval=10s --timeout=10s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import os, sys, tritonclient.grpc as g; sys.exit(not g.InferenceServerClient('127.0.0.1:' + os.environ['TRITONREEL_GRPC_PORT']).is_model_ready('generate'))"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "launcher", "--no-frontend"]
