"""Prints a new `.env` for compose.yaml, with passwords of its own: `python new_env.py > .env`."""

import secrets
import sys

TEMPLATE = """\
# Settings of compose.yaml. This file has passwords: it stays on this machine.
COMPOSE_PROJECT_NAME=tritonreel
POSTGRES_PASSWORD={postgres}
S3_ACCESS_KEY={s3_name}
S3_SECRET_KEY={s3}
GRAFANA_PASSWORD={grafana}

# All ports are on 127.0.0.1, and every program of this machine may use them. To open the HTTP API to the network:
# TRITONREEL_BIND=0.0.0.0, TRITONREEL_ALLOWED_HOSTS=video.example.com, TRITONREEL_NO_AUTH=false, TRITONREEL_API_KEY=...,
# and METRICS_KEY_FILE, a file with a key that Prometheus may read, for the metrics.
TRITONREEL_NO_AUTH=true

# Where checkpoints in diffusers layout and adapters are, if not in checkpoints/ and loras/ here.
# CHECKPOINTS=/path/to/checkpoints
# LORAS=/path/to/loras
"""


def new_env() -> str:
    return TEMPLATE.format(
        postgres=secrets.token_hex(24),
        s3_name=secrets.token_hex(10),
        s3=secrets.token_hex(24),
        grafana=secrets.token_hex(12),
    )


if __name__ == "__main__":
    sys.stdout.write(new_env())
