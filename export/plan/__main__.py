"""`python -m export.plan`: see `export.plan.cli`."""

from export.plan.cli import app

if __name__ == "__main__":
    app(prog_name="python -m export.plan")
