"""Nodes for ComfyUI that have videos and images made by a Tritonreel server; see README.md.

ComfyUI imports this folder from its `custom_nodes`. It imports nothing of Tritonreel, and nothing that ComfyUI lacks.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
