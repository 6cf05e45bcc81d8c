import subprocess
import sys


def test_the_frontend_needs_no_torch() -> None:
    """It runs on machines without a GPU, and must start quickly."""
    check = "import frontend.app, sys; print({'torch', 'diffusers', 'transformers'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "set()\n"
