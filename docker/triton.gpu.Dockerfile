# NVIDIA's tritonserver under our launcher, with ONNX Runtime and TensorRT for GPUs, and the exporter.
# It has never been built where it was written: NVIDIA's registry could not be reached from there.
ARG BASE=nvcr.io/nvidia/tritonserver:25.10-py3

FROM ${BASE} AS dependencies
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/build \
    && python3 -m venv --without-pip /opt/venv \
    && echo /opt/tritonreel > "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tritonreel.pth"
WORKDIR /opt/requirements
COPY pyproject.toml constraints.txt docker/requirements.py ./
# of the TensorRT in the base image
ARG TENSORRT=10.13.3.9
# the server comes from the base, and ONNX Runtime for CPUs would hide the one for GPUs
RUN /opt/build/bin/pip install --no-cache-dir -c constraints.txt setuptools \
    && python3 requirements.py pyproject.toml export > all.txt \
    && grep -vE '^(nvidia-pytriton|onnxruntime)==' all.txt > requirements.txt \
    && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir -c constraints.txt -r requirements.txt \
       'onnxruntime-gpu[cuda,cudnn]==1.31.1' "tensorrt-cu13-bindings==${TENSORRT}"

# What changes often comes last, and is small.
FROM dependencies AS package
WORKDIR /opt/tritonreel
COPY pyproject.toml README.md LICENSE ./
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

FROM ${BASE}
LABEL org.opencontainers.image.title="Tritonreel Triton, GPU" \
      org.opencontainers.image.description="Triton Inference Server with Tritonreel's models, on NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /nonexistent tritonreel \
    && install -d -o tritonreel -g tritonreel /models /run/tritonreel
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=package /opt/tritonreel /opt/tritonreel
# Triton's ports ask for no key: publish them to nobody but a frontend.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TRITONREEL_TRITONSERVER=/opt/tritonserver \
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
HEALTHCHECK --interval=10s --timeout=10s --start-period=600s --retries=3 \
    CMD ["python", "-c", "import os, sys, tritonclient.grpc as g; sys.exit(not g.InferenceServerClient('127.0.0.1:' + os.environ['TRITONREEL_GRPC_PORT']).is_model_ready('generate'))"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "launcher", "--no-frontend"]
