"""What can go wrong with building engines.

ExportError
└── EngineError   an engine cannot be built: no library, a graph that it does not take, no memory, ...
"""

from export.errors import ExportError


class EngineError(ExportError):
    pass
